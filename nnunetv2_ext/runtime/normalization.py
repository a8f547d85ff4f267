"""nnU-Net's normalisations, by the names of its classes."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunetv2_ext.errors import PredictionError
from nnunetv2_ext.runtime.description import Channel

EPSILON = 1e-8

Voxels = NDArray[np.float32]


def normalize(image: Voxels, nonzero: NDArray[np.bool_] | None, channel: Channel) -> None:
    """Normalises one channel of an image in place.

    Args:
        image: the channel, cropped.
        nonzero: where the image counts, for a channel whose normalisation is told to look there only.
        channel: how it is normalised.

    Raises:
        PredictionError: if the intensities can't be those of such a channel.
    """
    NORMALIZATIONS[channel.normalization](image, nonzero if channel.only_nonzero else None, channel.statistics)


def _z_score(image: Voxels, nonzero: NDArray[np.bool_] | None, _: Mapping[str, float]) -> None:
    if nonzero is None:
        mean, deviation = image.mean(), image.std()
        image -= mean
        image /= max(float(deviation), EPSILON)
    elif nonzero.any():  # the rest keeps its value, zero
        inside = image[nonzero]
        image[nonzero] = (inside - inside.mean()) / max(float(inside.std()), EPSILON)


def _ct(image: Voxels, _: Any, statistics: Mapping[str, float]) -> None:
    np.clip(image, statistics["percentile_00_5"], statistics["percentile_99_5"], out=image)
    image -= statistics["mean"]
    image /= max(statistics["std"], EPSILON)


def _none(*_: Any) -> None:
    """Keeps the intensities."""


def _to_01(image: Voxels, *_: Any) -> None:
    image -= image.min()
    image /= max(float(image.max()), EPSILON)


def _rgb_to_01(image: Voxels, *_: Any) -> None:
    lowest, highest = image.min(), image.max()
    if lowest < 0 or highest > 255:
        raise PredictionError(
            f"intensities are from {lowest:g} to {highest:g}, and the model was trained on color images of 8 bits, from 0 to "
            "255: convert the image"
        )
    image /= 255.0


NORMALIZATIONS: dict[str, Callable[[Voxels, NDArray[np.bool_] | None, Mapping[str, float]], None]] = {
    "ZScoreNormalization": _z_score,
    "CTNormalization": _ct,
    "NoNormalization": _none,
    "RescaleTo01Normalization": _to_01,
    "RGBTo01Normalization": _rgb_to_01,
}
NEEDED_STATISTICS = {"CTNormalization": ("mean", "std", "percentile_00_5", "percentile_99_5")}

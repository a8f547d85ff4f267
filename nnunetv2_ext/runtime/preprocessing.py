"""From an image to the network's input, and from a segmentation of that back to the image."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnunetv2_ext.runtime.description import ModelDescription
from nnunetv2_ext.runtime.normalization import normalize
from nnunetv2_ext.runtime.resampling import new_shape, resample


@dataclass(frozen=True)
class Placement:
    """Where in the image the network's input comes from. Axes are transposed as the network wants them."""

    shape: tuple[int, ...]
    """of the image"""
    box: tuple[slice, ...]
    """what of it is not zero"""
    spacing: tuple[float, ...]
    """of the image"""
    network_spacing: tuple[float, ...]
    """of the network's input"""

    @property
    def box_shape(self) -> tuple[int, ...]:
        return tuple(axis.stop - axis.start for axis in self.box)


def preprocess(
    image: NDArray[np.float32], spacing: Sequence[float], model: ModelDescription
) -> tuple[NDArray[np.float32], Placement]:
    """Transposes, crops to what is not zero, normalises and resamples.

    Args:
        image: ``(C, z, y, x)``; it is changed.
        spacing: of its three axes.
        model: the model's description.

    Returns:
        the network's input ``(C, *spatial)``, and where it comes from.

    Raises:
        PredictionError: if the intensities can't be those of such images, or no voxels are left at the model's spacing.
    """
    image = image.transpose(0, *(axis + 1 for axis in model.transpose_forward))
    spacing = tuple(spacing[axis] for axis in model.transpose_forward)
    # A network of slices leaves the distance between them as it is.
    target = model.spacing if len(model.spacing) == 3 else (spacing[0], *model.spacing)
    nonzero = (image != 0).any(0)
    placement = Placement(nonzero.shape, _bounding_box(nonzero), spacing, target)
    masked = any(channel.only_nonzero for channel in model.channels)
    nonzero = _fill_holes(nonzero)[placement.box] if masked else nonzero
    channels_and_box = (slice(None), *placement.box)
    image = image[channels_and_box]
    for channel, part in zip(model.channels, image, strict=True):
        normalize(part, nonzero, channel)
    shape = new_shape(placement.box_shape, spacing, target)
    resampled = [resample(channel, shape, spacing, target, model.data_resampling) for channel in image]
    return np.stack(resampled), placement


def resample_logits(
    logits: Iterable[NDArray[np.float16]], placement: Placement, model: ModelDescription
) -> Iterator[NDArray[np.floating]]:
    """Logits at the size of the cropped image, one class after the other."""
    for one in logits:
        yield resample(one, placement.box_shape, placement.network_spacing, placement.spacing, model.logits_resampling)


def put_back(segmentation: NDArray[np.unsignedinteger], placement: Placement, model: ModelDescription) -> NDArray:
    """The segmentation of a whole image ``(z, y, x)`` from that of the part that was cropped."""
    whole = np.zeros(placement.shape, segmentation.dtype)
    whole[placement.box] = segmentation
    return whole.transpose(model.transpose_backward)


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Of what is true; everything if nothing is."""
    box = []
    for axis, size in enumerate(mask.shape):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        places = np.flatnonzero(mask.any(others))
        box.append(slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, size))
    return tuple(box)


def _fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_fill_holes  # slow on large images, and most models don't ask where they are nonzero

    return binary_fill_holes(mask)

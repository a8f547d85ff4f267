"""nnU-Net's resampling of images and logits, one channel at a time, so that the others need no memory meanwhile."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunetv2_ext.errors import PredictionError
from nnunetv2_ext.runtime.description import Resampling

SPLINES = "resample_data_or_seg_to_shape"
LINEAR = "resample_torch_fornnunet"
NONE = "no_resampling_hack"
FUNCTIONS = (SPLINES, LINEAR, NONE)
LARGEST = 1 << 40
"""voxels; more than fit into the memory of any computer"""


def new_shape(shape: Sequence[int], spacing: Sequence[float], target: Sequence[float]) -> tuple[int, ...]:
    """The size in voxels that an image has at another spacing."""
    return tuple(round(float(old / new * size)) for old, new, size in zip(spacing, target, shape, strict=True))


def resample(
    channel: NDArray[Any], shape: Sequence[int], spacing: Sequence[float], target: Sequence[float], how: Resampling
) -> NDArray[Any]:
    """One channel at another size.

    Args:
        channel: three axes.
        shape: the size it gets.
        spacing: of the channel; whether an axis is resampled separately depends on it.
        target: spacing after resampling.
        how: function and settings of nnU-Net's.

    Raises:
        PredictionError: if it gets no voxels, or more than any computer can hold.
    """
    if how.function == NONE or channel.shape == tuple(shape):
        return channel
    if not 0 < prod(shape) <= LARGEST:
        raise PredictionError(
            f"the image has the spacing {times(spacing)} and the model {times(target)}, at which its {times(channel.shape)} "
            f"voxels become {times(shape)}: check the spacing in the image's header and its unit"
        )
    axis = separate_axis(spacing, target, how)
    if how.function == LINEAR:  # nnU-Net has torch do it, which computes in float32
        resized = _resize(channel.astype(np.float32), shape, 1, axis)
        return resized if axis is None else resized.take(_nearest_exact(resized.shape[axis], shape[axis]), axis)
    resized = _resize(channel.astype(np.float64), shape, how.order, axis)
    return (resized if axis is None else _resize_along(resized, axis, shape[axis], how.order_z)).astype(channel.dtype)


def separate_axis(spacing: Sequence[float], target: Sequence[float], how: Resampling) -> int | None:
    """The axis of thick slices, which is resampled on its own; None if there is no such axis, or more than one."""
    if how.force_separate_z is None:
        thick = [some for some in (spacing, target) if max(some) / min(some) > how.separate_z_anisotropy_threshold]
    else:
        thick = [spacing] if how.force_separate_z else []
    axes = [axis for axis, size in enumerate(thick[0]) if max(thick[0]) / size == 1] if thick else []
    return axes[0] if len(axes) == 1 else None


def times(numbers: Sequence[float]) -> str:
    """Sizes of all axes, as text."""
    return " x ".join(f"{number:g}" for number in numbers)


def _resize(volume: NDArray[Any], shape: Sequence[int], order: int, axis: int | None) -> NDArray[Any]:
    """The volume at another size; with an axis its slices, of which there are as many as before."""
    from skimage.transform import resize  # takes a moment, and images that have the model's spacing don't need it

    options: dict[str, Any] = {"order": order, "mode": "edge", "anti_aliasing": False, "preserve_range": True}
    if axis is None:
        return resize(volume, shape, **options)
    in_plane = [size for other, size in enumerate(shape) if other != axis]
    return np.stack([resize(part, in_plane, **options) for part in np.moveaxis(volume, axis, 0)], axis)


def _nearest_exact(old: int, length: int) -> NDArray[np.intp]:
    """For each position of an axis of another length the nearest old one, rounded as torch's ``nearest-exact`` rounds.

    torch computes in float32, and multiplies and subtracts at once, which rounds once.
    """
    scale = float(np.float32(old) / np.float32(length))
    positions = (scale * (np.arange(length) + 0.5) - 0.5).astype(np.float32)
    return np.minimum(np.floor(positions + np.float32(0.5)), old - 1).astype(np.intp)


def _resize_along(volume: NDArray[Any], axis: int, length: int, order: int) -> NDArray[Any]:
    """The volume with another length of one axis."""
    from scipy.ndimage import map_coordinates

    old = volume.shape[axis]
    if old == length:
        return volume
    positions = old / length * (np.arange(length) + 0.5) - 0.5
    if order == 0:
        nearest = map_coordinates(np.arange(old, dtype=float), positions[None], order=0, mode="nearest")
        return volume.take(nearest.astype(int), axis)
    shape = [length if other == axis else size for other, size in enumerate(volume.shape)]
    coordinates = np.indices(shape, dtype=float)
    np.moveaxis(coordinates[axis], axis, -1)[...] = positions
    return map_coordinates(volume, coordinates, order=order, mode="nearest")

"""From the network's input to logits: overlapping tiles, mirrored, weighted and averaged."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from nnunetv2_ext.errors import PredictionError

STEP = 0.5
"""distance between neighbouring tiles, as a fraction of the tile"""

Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""from ``(N, C, *patch)`` to logits, in an array of its own"""


class SlidingWindow:
    """Predicts images of any size, tile by tile.

    Sums are in half precision, as nnU-Net's are: it rounds logits, and so decides between classes that are close.

    Args:
        patch_size: of a tile; two numbers for a network of slices.
        outputs: channels of the logits.
        mirror_axes: spatial axes of a tile along which it is mirrored, alone and together.
    """

    def __init__(self, patch_size: Sequence[int], outputs: int, mirror_axes: Sequence[int]) -> None:
        self.patch_size, self.outputs = tuple(patch_size), outputs
        counts = range(len(mirror_axes) + 1)
        self.mirrorings = [tuple(axis + 2 for axis in axes) for count in counts for axes in combinations(mirror_axes, count)]

    def padded(self, image: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[slice, ...]]:
        """The image with zeros around it where it is smaller than a tile, and where in that it is."""
        spatial = image.shape[1:]
        patch = (*spatial[: len(spatial) - len(self.patch_size)], *self.patch_size)
        missing = [max(0, wanted - size) for wanted, size in zip(patch, spatial, strict=True)]
        padding = [(0, 0), *((some // 2, some - some // 2) for some in missing)]
        inside = tuple(slice(before, before + size) for (before, _), size in zip(padding[1:], spatial, strict=True))
        return np.pad(image, padding) if any(missing) else image, inside

    def tiles(self, spatial: Sequence[int]) -> list[tuple[int | slice, ...]]:
        """Where the tiles are in a padded image, slice by slice for a network of slices."""
        dimensions = len(self.patch_size)
        starts = [_starts(size, patch) for size, patch in zip(spatial[-dimensions:], self.patch_size, strict=True)]
        slices: Sequence[tuple[int, ...]] = [(index,) for index in range(spatial[0])] if dimensions < len(spatial) else [()]
        return [
            (*some, *(slice(start, start + patch) for start, patch in zip(corner, self.patch_size, strict=True)))
            for some, corner in product(slices, product(*starts))
        ]

    def logits(self, network: Network, image: NDArray[np.float32], on_tile: Callable[[], object]) -> NDArray[np.float16]:
        """The logits of one network.

        Args:
            network: the network.
            image: ``(C, *spatial)``
            on_tile: called after each tile.

        Returns:
            ``(outputs, *spatial)``

        Raises:
            PredictionError: if they aren't finite in half precision.
        """
        padded, inside = self.padded(image)
        total = np.zeros((self.outputs, *padded.shape[1:]), np.float16)
        weight = np.zeros(padded.shape[1:], np.float16)
        gaussian = importance(self.patch_size)
        with np.errstate(over="ignore"):  # which is looked for below
            for tile in self.tiles(padded.shape[1:]):
                channels_and_tile = (slice(None), *tile)
                total[channels_and_tile] += self._mirrored(network, padded[channels_and_tile][None]) * gaussian
                weight[tile] += gaussian
                on_tile()
            total /= weight
        if not all(np.isfinite(one).all() for one in total):
            raise PredictionError(
                "the network's logits are not finite in half precision, in which nnU-Net adds them up: check the intensities "
                "of the image, or train longer"
            )
        channels_and_inside = (slice(None), *inside)
        return total[channels_and_inside]

    def _mirrored(self, network: Network, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mean over all mirrorings, of which one at a time is in memory."""
        mean: NDArray[np.float32] = np.zeros(1, np.float32)
        for index, axes in enumerate(self.mirrorings):
            logits = np.flip(network(np.ascontiguousarray(np.flip(tile, axes))), axes)[0]
            mean = logits if index == 0 else np.add(mean, logits, out=mean)
        mean /= len(self.mirrorings)
        return mean


def number_of_tiles(window: SlidingWindow, image: NDArray[np.float32]) -> int:
    """How many tiles an image has."""
    return len(window.tiles(window.padded(image)[0].shape[1:]))


@cache
def importance(patch_size: tuple[int, ...]) -> NDArray[np.float16]:
    """Weight of each position of a tile: a Gaussian around its centre, at most 10 and nowhere zero."""
    from scipy.ndimage import gaussian_filter

    centre = np.zeros(patch_size)
    centre[tuple(size // 2 for size in patch_size)] = 1
    weights = gaussian_filter(centre, [size / 8 for size in patch_size], mode="constant")
    weights = (weights / (weights.max() / 10)).astype(np.float32).astype(np.float16)  # torch rounds twice, too
    weights[weights == 0] = weights[weights > 0].min()
    return weights


def _starts(size: int, patch: int) -> list[int]:
    """Where tiles begin along an axis: equal steps, as few as STEP allows."""
    count = int(np.ceil((size - patch) / (patch * STEP))) + 1
    step = (size - patch) / (count - 1) if count > 1 else 0
    return [int(np.round(step * index)) for index in range(count)]

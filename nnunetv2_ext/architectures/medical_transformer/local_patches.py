"""A feature map as a batch of local patches, and back."""

from collections.abc import Sequence
from math import prod

from torch import Tensor


def split_into_patches(x: Tensor, grid: Sequence[int]) -> Tensor:
    """Splits a feature map into a grid of equal patches, stacked along the batch axis.

    The patches of one grid position, one per sample, are adjacent in the batch; grid positions follow the order of the axes.

    Args:
        x: the feature map, each axis divisible by the grid.
        grid: patches per axis.

    Shape:
        ``(N, C, *spatial)`` to ``(prod(grid) N, C, *(spatial / grid))``.
    """
    n = len(grid)
    for axis, count in enumerate(grid):
        x = x.unflatten(2 + 2 * axis, (count, -1))
    counts, sizes = [2 + 2 * axis for axis in range(n)], [3 + 2 * axis for axis in range(n)]
    return x.permute(*counts, 0, 1, *sizes).flatten(0, n)


def join_patches(patches: Tensor, grid: Sequence[int]) -> Tensor:
    """The inverse of ``split_into_patches``, for patches of any size and any number of channels.

    Shape:
        ``(prod(grid) N, C, *patch)`` to ``(N, C, *(grid * patch))``.
    """
    n = len(grid)
    x = patches.unflatten(0, (*grid, len(patches) // prod(grid)))
    pairs = [place for axis in range(n) for place in (axis, n + 2 + axis)]
    x = x.permute(n, n + 1, *pairs)
    for axis in range(n):
        x = x.flatten(2 + axis, 3 + axis)
    return x

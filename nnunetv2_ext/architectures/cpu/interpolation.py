"""Linear interpolation as matrix products, alone and with a depthwise convolution behind it."""

from collections.abc import Sequence
from functools import lru_cache
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

LONGEST_AXIS = 32
"""length up to which a matrix product is the faster interpolation of an axis"""
LARGEST_MATRIX = 2**18
"""number of entries up to which one matrix for several axes is faster than one per axis"""


def interpolate_by_matmul(x: Tensor, size: Sequence[int], *, align_corners: bool) -> Tensor:
    """Linear interpolation of ``(N, C, *spatial)`` by a matrix product per axis, the last axis first."""
    for axis in reversed(range(2, x.dim())):
        length, target = x.shape[axis], size[axis - 2]
        if length == target:
            continue
        weights = _weights(length, target, align_corners, x.dtype)
        rest = x.shape[axis + 1 :]
        x = (weights @ x.flatten(axis + 1)).unflatten(-1, rest) if rest else x @ weights.T
    return x


@lru_cache(maxsize=256)
def _weights(length: int, target: int, align_corners: bool, dtype: torch.dtype) -> Tensor:
    """``(target, length)``, from torch's own interpolation of each unit vector."""
    with torch.inference_mode(False), torch.no_grad():
        unit = torch.eye(length, dtype=dtype, device="cpu").unsqueeze(0)
        return functional.interpolate(unit, size=target, mode="linear", align_corners=align_corners)[0].T.contiguous()


def convolve_interpolated(x: Tensor, size: Sequence[int], weight: Tensor, bias: Tensor) -> Tensor:
    """The depthwise convolution of ``x``, a learned map, interpolated linearly with aligned corners.

    Both are linear along each axis, so one matrix does interpolation and shifts, from the few positions of the map to the
    output, and the interpolated map never exists. The last axes share a matrix as long as it stays small; in a volume that
    leaves at most one axis.

    Args:
        x: ``(1, C, *spatial)``.
        size: of the output, one number per spatial axis.
        weight: ``(C, 1, *kernel)``, the kernel odd.
        bias: ``(C,)``.

    Shape:
        ``(C, prod(size))``.
    """
    channels, lengths, kernel = len(weight), tuple(x.shape[2:]), tuple(weight.shape[2:])
    alone = len(size) - 1
    while alone and prod((*lengths[alone - 1 :], *kernel[alone - 1 :], *size[alone - 1 :])) <= LARGEST_MATRIX:
        alone -= 1
    shifts = _shifted_weights(lengths[alone:], tuple(size[alone:]), kernel[alone:], x.dtype)
    # (C, rows, taps, positions); rows are the positions along the axes that are left
    x = torch.mm(x.reshape(-1, len(shifts)), shifts.flatten(1)).view(-1, *shifts.shape[1:])
    rows, taps = len(x) // channels, x.shape[1]
    kernels = weight.view(channels, -1, taps)
    if alone:
        kernels = kernels.unsqueeze(1).expand(-1, rows, -1, -1).flatten(0, 1)
    x = torch.bmm(kernels, x)
    for axis in reversed(range(alone)):
        shifts = _shifted_weights(lengths[axis : axis + 1], (size[axis],), kernel[axis : axis + 1], x.dtype)
        waiting = prod(lengths[:axis]), prod(kernel[:axis])
        x = x.view(channels, waiting[0], lengths[axis], waiting[1], kernel[axis], -1).transpose(2, 3)
        x = shifts.flatten(0, 1).T @ x.reshape(channels * prod(waiting), lengths[axis] * kernel[axis], -1)
    return x.view(channels, -1) + bias.unsqueeze(1)


@lru_cache(maxsize=256)
def _shifted_weights(lengths: tuple[int, ...], size: tuple[int, ...], kernel: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """``(prod(lengths), prod(kernel), prod(size))``: interpolation for each tap of a kernel, zero where it reaches outside."""
    with torch.inference_mode(False):
        weights = torch.ones(1, 1, 1, dtype=dtype, device="cpu")
        for length, target, taps in zip(lengths, size, kernel, strict=True):
            padded = functional.pad(_weights(length, target, True, dtype).T, (taps // 2, taps // 2))
            along = padded.unfold(1, target, 1)
            weights = torch.einsum("lkp,mjq->lmkjpq", weights, along).flatten(4).flatten(2, 3).flatten(0, 1)
        return weights.contiguous()

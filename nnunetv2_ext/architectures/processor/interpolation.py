"""Linear interpolation as matrix products."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

LONGEST_AXIS = 32
"""up to which an axis is interpolated faster by a matrix product"""


def interpolate_by_products(x: Tensor, size: Sequence[int], *, align_corners: bool) -> Tensor:
    """Linear interpolation of ``(N, C, *spatial)``, axis by axis, the last first, each a product with a matrix of weights."""
    for axis in reversed(range(2, x.dim())):
        length, wanted = x.shape[axis], size[axis - 2]
        if length == wanted:
            continue
        weights = _weights(length, wanted, align_corners, x.dtype)
        rest = x.shape[axis + 1 :]
        x = (weights @ x.flatten(axis + 1)).unflatten(-1, rest) if rest else x @ weights.T
    return x


@lru_cache(maxsize=256)
def _weights(length: int, wanted: int, align_corners: bool, dtype: torch.dtype) -> Tensor:
    """``(wanted, length)``, from torch's own interpolation of each unit vector."""
    with torch.inference_mode(False), torch.no_grad():
        unit = torch.eye(length, dtype=dtype).unsqueeze(0)
        return functional.interpolate(unit, size=wanted, mode="linear", align_corners=align_corners)[0].T.contiguous()


@lru_cache(maxsize=256)
def shifted_weights(lengths: tuple[int, ...], size: tuple[int, ...], kernel: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """``(prod(lengths), prod(kernel), prod(size))``: interpolation for each tap of a kernel, zero where it reaches outside."""
    with torch.inference_mode(False):
        weights = torch.ones(1, 1, 1, dtype=dtype)
        for length, wanted, taps in zip(lengths, size, kernel, strict=True):
            padded = functional.pad(_weights(length, wanted, True, dtype).T, (taps // 2, taps // 2))
            along = padded.unfold(1, wanted, 1)
            weights = torch.einsum("lkp,mjq->lmkjpq", weights, along).flatten(4).flatten(2, 3).flatten(0, 1)
        return weights.contiguous()

"""What a processor does faster in another way, with the same result: torch's own kernels for it are written for large maps.

A GPU has good kernels for all of it, and a compiler writes its own, so both get the plain operations.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

LONGEST_AXIS = 32
"""up to which an axis is interpolated faster by a matrix product"""


def runs_plainly_on_a_processor(x: Tensor) -> bool:
    """Whether operations on x are carried out one by one, on a processor, in the precision they are written in."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu")


def channels_last(x: Tensor) -> Tensor:
    """The channels of a position beside each other, where pooling and narrow convolutions are then several times as fast."""
    if not runs_plainly_on_a_processor(x):
        return x
    return x.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)


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


def is_product(x: Tensor, weight: Tensor, geometry: Sequence[Any]) -> bool:
    """Whether a convolution k1 of x is done as the matrix product it is, which needs the channels last."""
    stride, padding, _, transposed, _, groups = geometry
    if not runs_plainly_on_a_processor(x) or transposed or groups != 1 or weight[0, 0].numel() != 1:
        return False
    return max(stride) == 1 and not any(padding) and x.movedim(1, -1).is_contiguous()


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Sequence[Any]) -> Tensor:
    """``torch.convolution``, but a matrix product for a convolution k1 of a map with its channels last.

    Args:
        x: the map.
        weight: of the convolution.
        bias: of the convolution, or None.
        geometry: stride, padding, dilation, whether it is transposed, output padding, groups.
    """
    if is_product(x, weight, geometry):
        return functional.linear(x.movedim(1, -1), weight.flatten(1), bias).movedim(-1, 1)
    return torch.convolution(x, weight, bias, *geometry)


def convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, geometry: Sequence[Any], wanted: Sequence[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of input, weight and bias of ``convolution``, None where not ``wanted``."""
    if not is_product(x, weight, geometry):
        transposed, groups = geometry[3], geometry[5]
        channels = weight.shape[1] * groups if transposed else weight.shape[0]
        return torch.ops.aten.convolution_backward(gradient, x, weight, [channels], *geometry, wanted)
    last, flat = gradient.movedim(1, -1), weight.flatten(1)
    rows = last.reshape(-1, len(weight))
    results: Any = (
        (last @ flat).movedim(-1, 1) if wanted[0] else None,
        (rows.T @ x.movedim(1, -1).reshape(len(rows), -1)).view(weight.shape) if wanted[1] else None,
        rows.sum(0) if wanted[2] else None,
    )
    return results

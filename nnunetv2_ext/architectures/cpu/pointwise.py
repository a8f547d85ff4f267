"""A convolution k1 as the matrix product it is."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_ext.architectures.cpu.dispatch import is_eager_cpu


def is_matmul(x: Tensor, weight: Tensor, geometry: Sequence[Any]) -> bool:
    """Whether this convolution is done as a matrix product: a convolution k1 of channels last."""
    stride, padding, _, transposed, _, groups = geometry
    if not is_eager_cpu(x) or transposed or groups != 1 or weight[0, 0].numel() != 1:
        return False
    return max(stride) == 1 and not any(padding) and x.movedim(1, -1).is_contiguous()


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Sequence[Any]) -> Tensor:
    """``torch.convolution``, but a matrix product for a convolution k1 of channels last.

    Args:
        x: the map.
        weight: of the convolution.
        bias: of the convolution, or None.
        geometry: stride, padding, dilation, whether it is transposed, output padding, groups.
    """
    if is_matmul(x, weight, geometry):
        return functional.linear(x.movedim(1, -1), weight.flatten(1), bias).movedim(-1, 1)
    return torch.convolution(x, weight, bias, *geometry)


def convolution_backward(
    grad_output: Tensor, x: Tensor, weight: Tensor, geometry: Sequence[Any], output_mask: Sequence[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of input, weight and bias of ``convolution``, None where ``output_mask`` is not set."""
    if not is_matmul(x, weight, geometry):
        transposed, groups = geometry[3], geometry[5]
        channels = weight.shape[1] * groups if transposed else weight.shape[0]
        return torch.ops.aten.convolution_backward(grad_output, x, weight, [channels], *geometry, output_mask)
    last, flat = grad_output.movedim(1, -1), weight.flatten(1)
    rows = last.reshape(-1, len(weight))
    results: Any = (
        (last @ flat).movedim(-1, 1) if output_mask[0] else None,
        (rows.T @ x.movedim(1, -1).reshape(len(rows), -1)).view(weight.shape) if output_mask[1] else None,
        rows.sum(0) if output_mask[2] else None,
    )
    return results

"""Max-pooling, alone and behind a group norm."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nnunetv2_ext.architectures.cpu.layout import channels_last

SMALLEST_MAP = 2**18
"""number of values from which norm and pooling in one function pay"""

POOLS = {4: torch.ops.aten.max_pool2d_with_indices, 5: torch.ops.aten.max_pool3d_with_indices}


def max_pool(x: Tensor, stride: Sequence[int]) -> Tensor:
    """Max-pooling whose kernel is its stride, with channels last."""
    pool = functional.max_pool2d if x.dim() == 4 else functional.max_pool3d
    return pool(channels_last(x), tuple(stride))


def pooled_group_norm(x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float, stride: Sequence[int]) -> Tensor:
    """Group norm, then max-pooling.

    Only the maxima have a gradient, so its sums run over these alone, and the output of the norm isn't kept.

    Args:
        x: ``(N, C, *spatial)``.
        weight: ``(C,)``.
        bias: ``(C,)``.
        groups: number of groups.
        eps: added to the variance.
        stride: of the pooling, and its kernel; one number per axis.
    """
    x = channels_last(x)
    if x.numel() < SMALLEST_MAP:
        return max_pool(functional.group_norm(x, groups, weight, bias, eps), stride)
    return _PooledGroupNorm.apply(x, weight, bias, groups, eps, list(stride))


class _PooledGroupNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float, stride: list[int]) -> Tensor:
        samples, channels = x.shape[:2]
        y, *statistics = torch.native_group_norm(x, weight, bias, samples, channels, x.shape[2:].numel(), groups, eps)
        pooled, index = POOLS[x.dim()](y, stride)
        ctx.save_for_backward(x, weight, index, *statistics)
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        x, weight, index, mean, rstd = ctx.saved_tensors
        samples, channels, *size = x.shape
        groups = mean.shape[1]
        rows = x.movedim(1, -1).flatten(1, -2)
        grad_largest = grad_output.movedim(1, -1).flatten(1, -2)
        index = index.movedim(1, -1).flatten(1, -2)
        largest = rows.gather(1, index)
        # per sample and channel; the statistics are per sample and group
        total, product = grad_largest.sum(1), (grad_largest * largest).sum(1)
        mean, rstd = (s.repeat_interleave(channels // groups, 1) for s in (mean, rstd))
        centered = (product - mean * total) * rstd
        grad_weight, grad_bias = centered.sum(0), total.sum(0)
        count = rows.shape[1] * channels // groups

        def over_group(values: Tensor) -> Tensor:
            sums = (values * weight).unflatten(1, (groups, -1)).sum(2)
            return sums.repeat_interleave(channels // groups, 1) / count

        # Linear in the map everywhere, plus a term at the maxima.
        slope = -over_group(centered) * rstd**2
        constant = -over_group(total) * rstd - slope * mean
        lines = samples, -1, size[-1] * channels  # rows of a few channels alone would be short
        constants, slopes = (values.repeat(1, size[-1]).unsqueeze(1) for values in (constant, slope))
        grad_rows = torch.addcmul(constants, x.movedim(1, -1).reshape(lines), slopes).view(rows.shape)
        constants, slopes, scales = (values.unsqueeze(1) for values in (constant, slope, weight * rstd))
        grad_rows.scatter_(1, index, torch.addcmul(constants, largest, slopes).addcmul_(grad_largest, scales))
        return grad_rows.view(samples, *size, channels).movedim(-1, 1), grad_weight, grad_bias, None, None, None

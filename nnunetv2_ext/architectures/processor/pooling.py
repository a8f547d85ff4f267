"""Max-pooling, alone and behind a group norm."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nnunetv2_ext.architectures.processor.layout import channels_last, runs_plainly_on_a_processor

SMALLEST_MAP = 2**18
"""values from which norm and pooling are worth a function of their own"""

POOLS = {4: torch.ops.aten.max_pool2d_with_indices, 5: torch.ops.aten.max_pool3d_with_indices}


def max_pool(x: Tensor, stride: Sequence[int]) -> Tensor:
    """Max-pooling by its stride. Without a gradient the largest is found slice by slice, else with the channels last."""
    pool = functional.max_pool2d if x.dim() == 4 else functional.max_pool3d
    if x.requires_grad or not runs_plainly_on_a_processor(x):
        return pool(channels_last(x), tuple(stride))
    for axis, step in enumerate(stride, 2):
        x = x.narrow(axis, 0, x.shape[axis] // step * step)
        x = reduce(torch.maximum, x.unflatten(axis, (-1, step)).unbind(axis + 1))
    return channels_last(x)


def pooled_group_norm(x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float, stride: Sequence[int]) -> Tensor:
    """The largest of each window of a group norm.

    Few positions of the norm have a gradient, so its sums are over these alone, and the norm itself isn't kept.

    Args:
        x: ``(N, C, *spatial)``.
        weight: ``(C,)``.
        bias: ``(C,)``.
        groups: number of groups.
        eps: added to the variance.
        stride: size and distance of the windows, one number per axis.
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
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, weight, index, mean, inverse_deviation = ctx.saved_tensors
        samples, channels, *size = x.shape
        groups = mean.shape[1]
        rows = x.movedim(1, -1).flatten(1, -2)
        of_largest = gradient.movedim(1, -1).flatten(1, -2)
        index = index.movedim(1, -1).flatten(1, -2)
        largest = rows.gather(1, index)
        # per sample and channel; the statistics are per sample and group
        total, product = of_largest.sum(1), (of_largest * largest).sum(1)
        mean, inverse_deviation = (s.repeat_interleave(channels // groups, 1) for s in (mean, inverse_deviation))
        centred = (product - mean * total) * inverse_deviation
        of_weight, of_bias = centred.sum(0), total.sum(0)
        count = rows.shape[1] * channels // groups

        def over_group(values: Tensor) -> Tensor:
            sums = (values * weight).unflatten(1, (groups, -1)).sum(2)
            return sums.repeat_interleave(channels // groups, 1) / count

        # A linear function of the map everywhere, and where the map is the largest, more.
        slope = -over_group(centred) * inverse_deviation**2
        constant = -over_group(total) * inverse_deviation - slope * mean
        lines = samples, -1, size[-1] * channels  # few channels alone would be short lines
        constants, slopes = (values.repeat(1, size[-1]).unsqueeze(1) for values in (constant, slope))
        of_rows = torch.addcmul(constants, x.movedim(1, -1).reshape(lines), slopes).view(rows.shape)
        constants, slopes, scales = (values.unsqueeze(1) for values in (constant, slope, weight * inverse_deviation))
        of_rows.scatter_(1, index, torch.addcmul(constants, largest, slopes).addcmul_(of_largest, scales))
        return of_rows.view(samples, *size, channels).movedim(-1, 1), of_weight, of_bias, None, None, None

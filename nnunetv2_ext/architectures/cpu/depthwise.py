"""Depthwise convolution in 3D on a CPU: the forward and both gradients through the one fast kernel that oneDNN has.

oneDNN vectorises depthwise convolutions of channels-last volumes, without dilation and forward only. Everything else runs as
one dense convolution per channel, up to ten times as slow. So

- a dilated convolution becomes undilated ones, one for each grid of positions that the dilation connects;
- the gradient of the input is a convolution of the output's gradient with the flipped kernel;
- the gradient of the weight is a convolution of the input with the output's gradient as its kernel.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nnunetv2_ext.architectures.cpu.layout import LANES, channels_last

SMALLEST_MAP = 2**15
"""number of values from which this pays"""
LARGEST_KERNEL = 2**14
"""number of positions up to which a gradient is used as a kernel"""


def depthwise_convolution(x: Tensor, weight: Tensor, bias: Tensor, dilation: Sequence[int]) -> Tensor:
    """Depthwise convolution that keeps the size.

    Args:
        x: ``(N, C, *spatial)``, 2D or 3D.
        weight: ``(C, 1, *kernel)``, the kernel odd.
        bias: ``(C,)``.
        dilation: one number per axis.
    """
    samples, channels, *size = x.shape
    weight, dilation = _within(weight, dilation, size)
    if weight.numel() == channels:
        factor = weight.transpose(0, 1)
        return torch.addcmul(bias.view(factor.shape), x, factor)
    if x.dim() == 4 or x.numel() < SMALLEST_MAP:
        return torch.convolution(channels_last(x), weight, bias, *_geometry(weight, dilation))
    if channels > LANES // 2:
        return _DepthwiseConvolution.apply(channels_last(x), weight, bias, dilation)
    # Samples become channels, too: few channels take as long as many.
    together = channels_last(x.reshape(1, -1, *size))
    y = _DepthwiseConvolution.apply(together, torch.cat([weight] * samples), torch.cat([bias] * samples), dilation)
    return y.view(samples, channels, *size)


def _within(weight: Tensor, dilation: Sequence[int], size: Sequence[int]) -> tuple[Tensor, tuple[int, ...]]:
    """The part of a kernel that reaches positions of a map of this size, and its dilation."""
    reaches = []
    for axis, (step, length) in enumerate(zip(dilation, size, strict=True), 2):
        arm = weight.shape[axis] // 2
        reach = min(arm, (length - 1) // step)
        if reach < arm:
            weight = weight.narrow(axis, arm - reach, 2 * reach + 1)
        reaches.append(reach)
    return weight, tuple(step if reach else 1 for step, reach in zip(dilation, reaches, strict=True))


class _DepthwiseConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, dilation: Sequence[int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        return _convolved(x, weight, bias, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        grad_x, grad_weight, grad_bias, _ = ctx.needs_input_grad
        grad_output = grad_output.contiguous(memory_format=torch.channels_last_3d)
        return (
            _convolved(grad_output, weight.flip(2, 3, 4), None, ctx.dilation) if grad_x else None,
            _grad_weight(x, weight, grad_output, ctx.dilation) if grad_weight else None,
            grad_output.sum((0, 2, 3, 4)) if grad_bias else None,
            None,
        )


def _convolved(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: Sequence[int]) -> Tensor:
    if max(dilation) == 1:
        return torch.convolution(x, weight, bias, *_geometry(weight, dilation))
    # Grids along the last axis are adjacent to the channels already; those along the other axes become samples.
    samples, channels, *size = x.shape
    depth, height, width = dilation
    whole = [-(-length // step) * step for length, step in zip(size, dilation, strict=True)]
    rows = x.movedim(1, -1)
    if whole != size:
        rows = functional.pad(rows, (0, 0, 0, whole[2] - size[2], 0, whole[1] - size[1], 0, whole[0] - size[0]))
    shape = whole[0] // depth, whole[1] // height, whole[2] // width, width * channels
    rows = rows.reshape(samples, shape[0], depth, shape[1], height, -1).permute(0, 2, 4, 1, 3, 5)
    grids = rows.reshape(-1, *shape).movedim(-1, 1)
    weight, bias = torch.cat([weight] * width), None if bias is None else torch.cat([bias] * width)
    y = torch.convolution(grids, weight, bias, *_geometry(weight, (1, 1, 1)))
    y = y.movedim(1, -1).reshape(samples, depth, height, *shape[:2], -1).permute(0, 3, 1, 4, 2, 5)
    return y.reshape(samples, *whole, channels)[:, : size[0], : size[1], : size[2]].movedim(-1, 1)


def _grad_weight(x: Tensor, weight: Tensor, grad_output: Tensor, dilation: Sequence[int]) -> Tensor:
    geometry = _geometry(weight, dilation)
    _, padding, *_, channels = geometry
    if grad_output.shape[2:].numel() > LARGEST_KERNEL:
        return torch.ops.aten.convolution_backward(grad_output, x, weight, [channels], *geometry, (False, True, False))[1]
    # The gradients are the kernels, a different one per sample.
    grads = [
        torch.convolution(sample, kernel.transpose(0, 1), None, dilation, padding, [1] * 3, False, [0] * 3, channels)
        for sample, kernel in zip(x.split(1), grad_output.split(1), strict=True)
    ]
    return sum(grads[1:], grads[0]).transpose(0, 1)


def _geometry(weight: Tensor, dilation: Sequence[int]) -> tuple[Any, ...]:
    """Stride, padding, dilation, transposed, output padding, groups."""
    padding = [step * (length // 2) for step, length in zip(dilation, weight.shape[2:], strict=True)]
    return [1] * len(padding), padding, dilation, False, [0] * len(padding), len(weight)

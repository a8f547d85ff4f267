"""Depthwise convolution in 3D on a processor: the forward and both gradients as what there is a fast kernel for.

oneDNN has a vectorised depthwise convolution of volumes with their channels last, without dilation and forward only. For all
else it takes each channel for a dense convolution of one channel, and is up to ten times as slow. So

- a dilated convolution is one without dilation of each of the grids into which the dilation divides the map;
- the gradient of the map is a convolution of the output's gradient with the reversed kernel;
- the gradient of the kernel is a convolution of the map with the output's gradient as its kernel.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nnunetv2_ext.architectures.processor.layout import LANES, channels_last_format, layout_of

SMALLEST_MAP = 2**14
"""values from which a dilated convolution is worth dividing"""
LARGEST_KERNEL = 2**14
"""positions up to which a gradient is used as a kernel"""


def depthwise_convolution(x: Tensor, weight: Tensor, bias: Tensor, dilation: tuple[int, ...]) -> Tensor:
    """Convolution of each channel by itself, which keeps the size.

    Args:
        x: ``(N, C, *spatial)``, 2D or 3D.
        weight: ``(C, 1, *kernel)``, the kernel odd.
        bias: ``(C,)``.
        dilation: one number per axis.
    """
    return _DepthwiseConvolution.apply(x, weight, bias, dilation)


class _DepthwiseConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, dilation: tuple[int, ...]) -> Tensor:
        ctx.dilation, ctx.kernel, ctx.layout = dilation, weight.shape[2:], layout_of(x)
        y, *kept = convolve(x, weight, bias, dilation)
        ctx.save_for_backward(*kept)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        of_x, of_weight = gradients(gradient, *ctx.saved_tensors, ctx.kernel, ctx.dilation, ctx.needs_input_grad[:2])
        if of_x is not None:
            of_x = of_x.contiguous(memory_format=ctx.layout)
        return of_x, of_weight, gradient.sum(_positions(gradient)) if ctx.needs_input_grad[2] else None, None


def convolve(x: Tensor, weight: Tensor, bias: Tensor, dilation: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """``depthwise_convolution``, and what ``gradients`` needs of it: the map and the kernel as they were used."""
    reach = _reach(weight.shape[2:], dilation, x.shape[2:])
    if reach.beside:
        weight = weight[(..., *reach.within)]
    if weight.numel() == len(bias):
        factor = weight.transpose(0, 1)
        return torch.addcmul(bias.view(factor.shape), x, factor), x, weight
    rows = _arranged(x)
    together = rows.shape[1] // len(bias)
    if together > 1:
        weight, bias = torch.cat([weight] * together), torch.cat([bias] * together)
    return _convolved(rows, weight, bias, reach.dilation).view(x.shape), rows, weight


def gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, kernel: tuple[int, ...], dilation: tuple[int, ...], wanted: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Those of map and kernel, None where not wanted.

    Args:
        gradient: of the output.
        x: the map as ``convolve`` gave it.
        weight: the kernel as ``convolve`` gave it.
        kernel: size of the kernel.
        dilation: one number per axis.
        wanted: of map and kernel.
    """
    shape, reach = gradient.shape, _reach(kernel, dilation, gradient.shape[2:])
    of_x = of_weight = None
    if weight.numel() == shape[1]:
        if wanted[0]:
            of_x = gradient * weight.transpose(0, 1)
        if wanted[1]:
            of_weight = (gradient * x).sum(_positions(gradient)).view(weight.shape)
    else:
        gradient = gradient.reshape(x.shape).contiguous(memory_format=channels_last_format(x))
        if gradient.dim() == 4:
            geometry = _geometry(weight, reach.dilation)
            of_x, of_weight, _ = torch.ops.aten.convolution_backward(gradient, x, weight, None, *geometry, (*wanted, False))
        else:
            if wanted[0]:
                of_x = _convolved(gradient, weight.flip(2, 3, 4), None, reach.dilation).view(shape)
            if wanted[1]:
                of_weight = _gradient_of_weight(x, weight, gradient, reach.dilation)
        if of_weight is not None and len(weight) > shape[1]:
            of_weight = of_weight.unflatten(0, (-1, shape[1])).sum(0)
    if of_weight is not None and reach.beside:
        of_weight = functional.pad(of_weight, reach.beside)
    return of_x, of_weight


class _Reach(NamedTuple):
    """The part of a kernel that ever lies on a map of some size and not beside it."""

    within: tuple[slice, ...]
    beside: tuple[int, ...]
    """as torch's padding counts, empty if there is nothing"""
    dilation: tuple[int, ...]


@lru_cache(maxsize=256)
def _reach(kernel: tuple[int, ...], dilation: tuple[int, ...], size: tuple[int, ...]) -> _Reach:
    arms = [length // 2 for length in kernel]
    reaches = [min(arm, (length - 1) // step) for arm, step, length in zip(arms, dilation, size, strict=True)]
    beside = [arm - reach for arm, reach in zip(arms, reaches, strict=True)]
    return _Reach(
        tuple(slice(before, length - before) for before, length in zip(beside, kernel, strict=True)),
        tuple(width for axis in reversed(beside) for width in (axis, axis)) if any(beside) else (),
        tuple(step if reach else 1 for step, reach in zip(dilation, reaches, strict=True)),
    )


def _arranged(x: Tensor) -> Tensor:
    """The channels last, and of a volume the samples among them if there are few: few channels take as long as many."""
    layout = channels_last_format(x)
    if x.dim() == 5 and x.shape[1] <= LANES // 2 and not x.is_contiguous(memory_format=layout):
        x = x.reshape(1, -1, *x.shape[2:])
    return x.contiguous(memory_format=layout)


def _positions(x: Tensor) -> list[int]:
    return [0, *range(2, x.dim())]


def _convolved(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: tuple[int, ...]) -> Tensor:
    if max(dilation) == 1 or x.dim() == 4 or x.numel() < SMALLEST_MAP:
        return torch.convolution(x, weight, bias, *_geometry(weight, dilation))
    # The grids along the last axis lie beside the channels already, those along the others become samples.
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
    y = y.reshape(samples, *whole, channels)
    return (y if whole == size else y[:, : size[0], : size[1], : size[2]].contiguous()).movedim(-1, 1)


def _gradient_of_weight(x: Tensor, weight: Tensor, gradient: Tensor, dilation: tuple[int, ...]) -> Tensor:
    geometry = _geometry(weight, dilation)
    _, padding, *_, channels = geometry
    if gradient.shape[2:].numel() > LARGEST_KERNEL:
        return torch.ops.aten.convolution_backward(gradient, x, weight, None, *geometry, (False, True, False))[1]
    # The gradients are kernels, of which each sample has its own.
    found = [
        torch.convolution(sample, kernel.transpose(0, 1), None, dilation, padding, [1] * 3, False, [0] * 3, channels)
        for sample, kernel in zip(x.split(1), gradient.split(1), strict=True)
    ]
    return sum(found[1:], found[0]).transpose(0, 1)


def _geometry(weight: Tensor, dilation: tuple[int, ...]) -> tuple[Any, ...]:
    """Stride, padding, dilation, whether it is transposed, output padding, groups."""
    padding = [step * (length // 2) for step, length in zip(dilation, weight.shape[2:], strict=True)]
    return [1] * len(padding), padding, dilation, False, [0] * len(padding), len(weight)

"""What a processor does faster in another way, with the same result: torch's own kernels for it are written for large maps.

A GPU has good kernels for all of it, and a compiler writes its own, so both get the plain operations.
"""

from collections.abc import Sequence
from functools import lru_cache, reduce
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

LONGEST_AXIS = 32
"""up to which an axis is interpolated faster by a matrix product"""


def runs_plainly_on_a_processor(x: Tensor) -> bool:
    """Whether operations on x are carried out one by one, on a processor, in the precision they are written in."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu")


def channels_last(x: Tensor, *, restore: bool = True) -> Tensor:
    """The channels of a position beside each other, where pooling and narrow convolutions are then several times as fast.

    Args:
        x: a map.
        restore: whether its gradient comes back in the layout that x has; wide convolutions are faster without.
    """
    layout = _channels_last_format(x)
    if restore or not runs_plainly_on_a_processor(x):
        return _in_layout(x, layout)
    return x.contiguous(memory_format=layout)


def channels_first(x: Tensor) -> Tensor:
    """The positions of a channel beside each other, where norms over few channels and interpolation are faster."""
    return _in_layout(x, torch.contiguous_format)


def _channels_last_format(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.dim() == 4 else torch.channels_last_3d


def _in_layout(x: Tensor, layout: torch.memory_format) -> Tensor:
    return _Layout.apply(x, layout) if runs_plainly_on_a_processor(x) else x


class _Layout(torch.autograd.Function):
    """Brings a map into a layout, and its gradient back into that of the map: operations on two layouts at once are slow."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layout: torch.memory_format) -> Tensor:
        last = _channels_last_format(x)
        ctx.layout = last if x.is_contiguous(memory_format=last) else torch.contiguous_format
        return x.view_as(x) if x.is_contiguous(memory_format=layout) else x.contiguous(memory_format=layout)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient.contiguous(memory_format=ctx.layout), None


def max_pool(x: Tensor, stride: Sequence[int]) -> Tensor:
    """Max-pooling by its stride. Without a gradient the largest is found slice by slice, else with the channels last."""
    pool = functional.max_pool2d if x.dim() == 4 else functional.max_pool3d
    if x.requires_grad or not runs_plainly_on_a_processor(x):
        return pool(channels_last(x), tuple(stride))
    for axis, step in enumerate(stride, 2):
        end = x.shape[axis] // step * step
        x = reduce(torch.maximum, [x.narrow(axis, 0, end).unflatten(axis, (-1, step)).select(axis + 1, i) for i in range(step)])
    return channels_last(x)


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


def convolve_interpolated(x: Tensor, size: Sequence[int], weight: Tensor, bias: Tensor) -> Tensor:
    """The depthwise convolution of ``x``, a learned map, interpolated linearly with aligned corners.

    Both are linear along each axis, so along each a product with one matrix does interpolation and shifts: it takes the map
    from its few positions to the output, and never is there an interpolated map.

    Args:
        x: ``(1, C, *spatial)``.
        size: of the output, one number per spatial axis.
        weight: ``(C, 1, *kernel)``, the kernel odd.
        bias: ``(C,)``.

    Shape:
        ``(C, prod(size))``.
    """
    channels, lengths, kernel = len(weight), x.shape[2:], weight.shape[2:]
    shifts = [_shifted_weights(*lengths_and_kernel, x.dtype) for lengths_and_kernel in zip(lengths, size, kernel, strict=True)]
    last = len(size) - 1
    # The kernel's axes but the last are carried along, (k[last - 1], ..., k[0]), until the axis of each has its turn.
    taps = weight[:, 0].permute(0, *range(last, 0, -1), last + 1).reshape(-1, kernel[last])
    along_last = (taps @ shifts[last].transpose(0, 1).flatten(1)).view(channels, -1, lengths[last], size[last])
    x = torch.bmm(x.view(channels, -1, lengths[last]), along_last.transpose(1, 2).reshape(channels, lengths[last], -1))
    for axis in reversed(range(last)):
        x = shifts[axis].flatten(0, 1).T @ x.reshape(
            -1, lengths[axis] * kernel[axis], prod(kernel[:axis]) * prod(size[axis + 1 :])
        )
        if axis:  # what is done moves behind the kernel's axes that still wait
            x = x.unflatten(2, (prod(kernel[:axis]), -1)).transpose(1, 2)
    return x.reshape(channels, -1) + bias.unsqueeze(1)


@lru_cache(maxsize=256)
def _shifted_weights(length: int, wanted: int, kernel: int, dtype: torch.dtype) -> Tensor:
    """``(length, kernel, wanted)``: the weights of interpolation for each tap of a kernel, zero where it reaches outside."""
    with torch.inference_mode(False):
        padded = functional.pad(_weights(length, wanted, True, dtype).T, (kernel // 2, kernel // 2))
        return padded.unfold(1, wanted, 1).contiguous()


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

"""GHPA's maps and their product with the input, in one function."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nnunetv2_ext.architectures.processor.interpolation import shifted_weights
from nnunetv2_ext.architectures.processor.remembered import Remembered

LARGEST_MATRIX = 2**18
"""numbers up to which one matrix for several axes is faster than one per axis"""


def multiply_with_maps(x: Tensor, maps: Sequence[Any], remembered: Remembered) -> Tensor:
    """The channels of x, some at a time, times learned maps, each resized to x and refined by a separable convolution.

    The maps are so small that their many operations take longer to call than to carry out. Interpolation and depthwise
    convolution, both linear, are a product with one matrix, and autograd is spared all that is in between.

    Args:
        x: ``(N, channels of all maps, *spatial)``.
        maps: ``HadamardMap`` each.
        remembered: where the resized and refined maps are kept for the next patch, if there is no backward.

    Shape:
        that of x.
    """
    size, axes = x.shape[2:], [m.axes for m in maps]
    groups = [(m.grid, m.refine[0].weight, m.refine[0].bias, m.refine[2].weight, m.refine[2].bias) for m in maps]
    parameters = [parameter for group in groups for parameter in group]
    if torch.is_grad_enabled():
        return _Multiplied.apply(x, axes, *parameters)
    return x * remembered(lambda: _factor(size, axes, parameters)[0], (size, x.dtype), parameters)


class _Multiplied(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, axes: Sequence[Sequence[int]], *parameters: Tensor) -> Tensor:
        factor, kept = _factor(x.shape[2:], axes, parameters)
        ctx.axes = axes
        ctx.save_for_backward(x, factor, *parameters, *kept)
        return x * factor

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, factor, *others = ctx.saved_tensors
        parameters, kept = others[: 5 * len(ctx.axes)], others[5 * len(ctx.axes) :]
        size, start, found = x.shape[2:], 0, []
        of_factor = (gradient * x).sum(0)
        for number, own in enumerate(ctx.axes):
            group = parameters[5 * number : 5 * number + 5]
            part = of_factor.narrow(0, start, len(group[2]))
            dropped = [1 + axis for axis in range(len(size)) if axis not in own]
            part = (part.sum(dropped) if dropped else part).flatten(1)
            found += _gradients(part, _along(own, size), *group, *kept[3 * number : 3 * number + 3])
            start += len(group[2])
        return gradient * factor, None, *found


def _factor(size: Sequence[int], axes: Sequence[Sequence[int]], parameters: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """All maps, ``(channels, *size)`` with the channels last, and what their gradients need."""
    groups = [parameters[start : start + 5] for start in range(0, len(parameters), 5)]
    factor = parameters[0].new_empty(*size, sum(len(group[2]) for group in groups)).movedim(-1, 0)
    kept: list[Tensor] = []
    start = 0
    for own, group in zip(axes, groups, strict=True):
        refined, some = _refined(_along(own, size), *group)
        spread = [length if axis in own else 1 for axis, length in enumerate(size)]
        factor[start : start + len(refined)] = refined.view(-1, *spread)
        kept += some
        start += len(refined)
    return factor, kept


def _along(axes: Sequence[int], size: Sequence[int]) -> tuple[int, ...]:
    return tuple(size[axis] for axis in axes)


def _refined(
    size: tuple[int, ...], grid: Tensor, kernel: Tensor, shift: Tensor, mixing: Tensor, bias: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """``(channels, positions)``, and what ``_gradients`` needs of it."""
    z, shifted = _convolved(size, grid, kernel, shift)
    activated = functional.gelu(z)
    return torch.addmm(bias.unsqueeze(1), mixing.flatten(1), activated), (shifted, z, activated)


def _gradients(
    gradient: Tensor,
    size: tuple[int, ...],
    grid: Tensor,
    kernel: Tensor,
    _shift: Tensor,
    mixing: Tensor,
    _bias: Tensor,
    shifted: Tensor,
    z: Tensor,
    activated: Tensor,
) -> tuple[Tensor, ...]:
    of_z = torch.ops.aten.gelu_backward(torch.mm(mixing.flatten(1).T, gradient), z)
    of_grid, of_kernel = _gradients_of_convolved(of_z, size, grid, kernel, shifted)
    return of_grid, of_kernel, of_z.sum(1), torch.mm(gradient, activated.T).view(mixing.shape), gradient.sum(1)


def _convolved(size: tuple[int, ...], grid: Tensor, kernel: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """The depthwise convolution of a grid interpolated linearly with aligned corners, and the grid at all taps.

    Both are linear along each axis, so a product with one matrix does interpolation and shifts: it takes the grid from its few
    positions to the output, and never is there an interpolated grid. The last axes, as many as make a small matrix, have one
    together, which leaves one axis of a volume at most.
    """
    channels, lengths, taps = len(kernel), grid.shape[2:], kernel.shape[2:]
    alone = _axes_alone(lengths, size, taps)
    shifts = shifted_weights(lengths[alone:], size[alone:], taps[alone:], grid.dtype)
    # (channels * rows, taps, positions), the rows the grid's positions along the axes that still wait
    shifted = torch.mm(grid.view(-1, len(shifts)), shifts.flatten(1)).view(-1, *shifts.shape[1:])
    if not alone:
        return torch.baddbmm(shift.view(-1, 1, 1), kernel.view(channels, 1, -1), shifted).view(channels, -1), shifted
    y = torch.bmm(_per_row(kernel, shifted), shifted)
    for axis in reversed(range(alone)):
        along = shifted_weights(lengths[axis : axis + 1], size[axis : axis + 1], taps[axis : axis + 1], grid.dtype)
        before = channels, prod(lengths[:axis]), lengths[axis], prod(taps[:axis]), taps[axis]
        y = along.flatten(0, 1).T @ y.view(*before, -1).transpose(2, 3).reshape(-1, before[2] * before[4], y.shape[-1])
    return y.view(channels, -1) + shift.unsqueeze(1), shifted


def _gradients_of_convolved(
    gradient: Tensor, size: tuple[int, ...], grid: Tensor, kernel: Tensor, shifted: Tensor
) -> tuple[Tensor, Tensor]:
    channels, lengths, taps = len(kernel), grid.shape[2:], kernel.shape[2:]
    alone = _axes_alone(lengths, size, taps)
    for axis in range(alone):
        along = shifted_weights(lengths[axis : axis + 1], size[axis : axis + 1], taps[axis : axis + 1], grid.dtype)
        before = channels, prod(lengths[:axis]), prod(taps[:axis]), lengths[axis], taps[axis]
        gradient = along.flatten(0, 1) @ gradient.reshape(prod(before[:3]), size[axis], -1)
        gradient = gradient.view(*before, -1).transpose(2, 3)
    gradient = gradient.reshape(len(shifted), -1, shifted.shape[2])
    of_shifted = torch.bmm(_per_row(kernel, shifted).transpose(1, 2), gradient)
    of_kernel = torch.bmm(gradient, shifted.transpose(1, 2))
    if alone:
        of_kernel = of_kernel.view(channels, -1, *of_kernel.shape[1:]).sum(1)
    shifts = shifted_weights(lengths[alone:], size[alone:], taps[alone:], grid.dtype)
    of_grid = torch.mm(of_shifted.view(len(shifted), -1), shifts.flatten(1).T)
    return of_grid.view(grid.shape), of_kernel.view(kernel.shape)


def _per_row(kernel: Tensor, shifted: Tensor) -> Tensor:
    """The kernel for each row, its taps along the last axes last."""
    channels, (rows, taps, _) = len(kernel), shifted.shape
    if rows == channels:
        return kernel.view(channels, -1, taps)
    return kernel.view(channels, 1, -1, taps).expand(-1, rows // channels, -1, -1).flatten(0, 1)


def _axes_alone(lengths: Sequence[int], size: Sequence[int], taps: Sequence[int]) -> int:
    """How many axes have a matrix each, the others having one together."""
    alone = len(size) - 1
    while alone and prod((*lengths[alone - 1 :], *taps[alone - 1 :], *size[alone - 1 :])) <= LARGEST_MATRIX:
        alone -= 1
    return alone

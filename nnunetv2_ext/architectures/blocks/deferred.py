"""Maps that are made again in the backward, instead of being kept from the forward.

A step of training keeps what its backward needs: behind each convolution its output, for the norm, and the activated map, for
the next convolution; PReLU keeps one more. All but the convolution's output follow from it within a few operations per
value, where the convolution took hundreds. So a ``Deferred`` map is a recipe and the tensors it is made from. ``convolve``
and ``weighted_sum`` take one, keep the tensors alone, and make it again in the backward, a few channels at a
time, so that what happens in between is never as large as a map either.

The result is exact: the recipe is evaluated with the same operations as in the plain form, and autograd differentiates it.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nnunetv2_ext.architectures.precision import autocast_type, restored_autocast

# Pieces of a map, none smaller than a megabyte: small enough to stay in a processor's cache, few enough for a GPU.
PIECES = 8
SMALLEST_PIECE = 2**20


class Deferred(NamedTuple):
    """A map, as the recipe and the tensors it is made from."""

    recipe: Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]
    """makes a group of channels from the same group of ``maps`` and from ``shared``"""
    maps: tuple[Tensor, ...]
    """``(N, C, *spatial)`` or one value per channel, ``(C,)``; the first one is a map"""
    shared: tuple[Tensor, ...] = ()
    """what every channel needs"""


Map = Tensor | Deferred

# Per deferred map its recipe, how many maps and how many shared tensors.
Layout = Sequence[tuple[Callable[..., Tensor], int, int]]


def made(x: Map) -> Tensor:
    """The map itself; what it is made from is kept, not what is on the way."""
    return x if isinstance(x, Tensor) else _Made.apply(x.recipe, len(x.maps), *x.maps, *x.shared)


def convolve(convolution: Any, x: Map) -> Tensor:
    """``convolution(x)``, which makes a deferred x again in the backward."""
    if isinstance(x, Tensor):
        return convolution(x)
    geometry = (
        convolution.stride,
        convolution.padding,
        convolution.dilation,
        isinstance(convolution, nn.modules.conv._ConvTransposeNd),
        convolution.output_padding,
        convolution.groups,
    )
    return _Convolved.apply(x.recipe, len(x.maps), geometry, convolution.weight, convolution.bias, *x.maps, *x.shared)


def weighted_sum(weigh: Callable[[Tensor], Tensor], parameters: Sequence[Tensor], inputs: Sequence[Map]) -> Tensor:
    """Sum of the inputs, each times the weight that the average of their sum gives it; a deferred input is never whole.

    Args:
        weigh: from the spatial average ``(N, C)`` of the sum of the inputs to one weight per input ``(N, K)``.
        parameters: what ``weigh`` has to learn.
        inputs: K maps ``(N, C, *spatial)``.
    """
    parts = [x if isinstance(x, Deferred) else Deferred(_itself, (x,)) for x in inputs]
    layout: Layout = [(part.recipe, len(part.maps), len(part.shared)) for part in parts]
    return _WeightedSum.apply(weigh, layout, *parameters, *(tensor for part in parts for tensor in (*part.maps, *part.shared)))


def _itself(maps: Sequence[Tensor], shared: Sequence[Tensor]) -> Tensor:  # noqa: ARG001
    return maps[0]


def _mean(recipe: Callable[..., Tensor], maps: Sequence[Tensor], shared: Sequence[Tensor]) -> Tensor:
    return recipe(maps, shared).flatten(2).mean(-1)


def channel_groups(x: Tensor) -> Iterator[slice]:
    channels = x.shape[1]
    count = max(1, min(PIECES, channels, x.nbytes // SMALLEST_PIECE))
    width = -(-channels // count)
    return (slice(start, min(start + width, channels)) for start in range(0, channels, width))


def _cut(tensor: Tensor, piece: slice) -> Tensor:
    return tensor[piece] if tensor.dim() == 1 else tensor[:, piece]


def _make(recipe: Callable[..., Tensor], maps: Sequence[Tensor], shared: Sequence[Tensor]) -> Tensor:
    out: Any = None
    for piece in channel_groups(maps[0]):
        part = recipe([_cut(tensor, piece) for tensor in maps], shared)
        if out is None:
            if part.shape[1] == maps[0].shape[1]:
                return part
            out = part.new_empty(part.shape[0], maps[0].shape[1], *part.shape[2:])
        out[:, piece] = part
    return out


def _gradients(
    recipe: Callable[..., Tensor],
    maps: Sequence[Tensor],
    shared: Sequence[Tensor],
    needed: Sequence[bool],
    gradient: Callable[[slice], Tensor],
    *,
    place: Tensor | None = None,
) -> list[Tensor | None]:
    """The gradients of ``maps`` and ``shared``, where ``needed``, for the gradient of what is made from them.

    ``gradient`` gives a group of channels of it; ``place`` is where the gradient of the first map may be put.
    """
    tensors = (*maps, *shared)
    results: list[Any] = [None] * len(tensors)
    wanted = [index for index, need in enumerate(needed) if need]
    for index in wanted:
        if index == 0 and place is not None and place.dtype == tensors[0].dtype:
            results[0] = place
        else:
            results[index] = torch.zeros_like(tensors[index]) if index >= len(maps) else torch.empty_like(tensors[index])
    for piece in channel_groups(maps[0]):
        with torch.enable_grad():
            parts = [_cut(tensor, piece) for tensor in maps] + list(shared)
            parts = [part.detach().requires_grad_(need) for part, need in zip(parts, needed, strict=True)]
            out = recipe(parts[: len(maps)], parts[len(maps) :])
        found = torch.autograd.grad(out, [parts[index] for index in wanted], gradient(piece))
        for index, part in zip(wanted, found, strict=True):
            if index < len(maps):
                _cut(results[index], piece).copy_(part)
            else:
                results[index].add_(part)
    return results


class _Made(torch.autograd.Function):
    """Makes a map, and keeps what it is made from."""

    @staticmethod
    def forward(ctx: Any, recipe: Callable[..., Tensor], count: int, *tensors: Tensor) -> Tensor:
        ctx.recipe, ctx.count, ctx.autocast = recipe, count, restored_autocast(tensors[0])
        ctx.save_for_backward(*tensors)
        return _make(recipe, tensors[:count], tensors[count:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        tensors = ctx.saved_tensors  # asked for once: a checkpoint hands them out once
        maps, shared = tensors[: ctx.count], tensors[ctx.count :]
        with ctx.autocast():
            return None, None, *_gradients(ctx.recipe, maps, shared, ctx.needs_input_grad[2:], partial(_cut, gradient))


class _Convolved(torch.autograd.Function):
    """Makes a map and convolves it, and keeps what the map is made from."""

    @staticmethod
    def forward(
        ctx: Any,
        recipe: Callable[..., Tensor],
        count: int,
        geometry: tuple[Any, ...],
        weight: Tensor,
        bias: Tensor | None,
        *tensors: Tensor,
    ) -> Tensor:
        ctx.recipe, ctx.count, ctx.geometry, ctx.autocast = recipe, count, geometry, restored_autocast(tensors[0])
        ctx.bias_sizes = None if bias is None else list(bias.shape)
        ctx.save_for_backward(weight, *tensors)
        x = _make(recipe, tensors[:count], tensors[count:])
        dtype = autocast_type(x)
        return torch.convolution(x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype), *geometry)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        weight, *tensors = ctx.saved_tensors
        maps, shared = tensors[: ctx.count], tensors[ctx.count :]
        needs_weight, needs_bias, *needed = ctx.needs_input_grad[3:]
        with ctx.autocast():
            x = _make(ctx.recipe, maps, shared).to(gradient.dtype)
        mask = [any(needed), needs_weight, needs_bias]
        geometry, dtype = ctx.geometry, gradient.dtype
        gradient, of_weight, of_bias = torch.ops.aten.convolution_backward(
            gradient, x, weight.to(dtype), ctx.bias_sizes, *geometry, mask
        )
        del x
        with ctx.autocast():
            found = _gradients(ctx.recipe, maps, shared, needed, partial(_cut, gradient), place=gradient)
        of_weight, of_bias = (g if g is None else g.to(weight.dtype) for g in (of_weight, of_bias))
        return None, None, None, of_weight, of_bias, *found


class _WeightedSum(torch.autograd.Function):
    """The sum of maps, each times the weight it gets from the average of their sum, and keeps what the maps are made from."""

    @staticmethod
    def forward(ctx: Any, weigh: Callable[[Tensor], Tensor], layout: Layout, *tensors: Tensor) -> Tensor:
        count = len(tensors) - sum(some + others for _, some, others in layout)
        ctx.weigh, ctx.layout, ctx.count, ctx.autocast = weigh, layout, count, restored_autocast(tensors[-1])
        parts = _split(layout, tensors[count:])
        average: Any = sum(_make(partial(_mean, recipe), maps, shared) for recipe, maps, shared in parts)
        weights = weigh(average)
        ctx.save_for_backward(average, *tensors)
        first = parts[0][1][0]
        out: Any = None
        for piece in channel_groups(first):
            for index, (recipe, maps, shared) in enumerate(parts):
                part = recipe([_cut(tensor, piece) for tensor in maps], shared)
                if out is None:
                    out = part.new_zeros(first.shape)
                out[:, piece].addcmul_(part, _as_factor(weights[:, index : index + 1].to(part.dtype), part))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        average, *tensors = ctx.saved_tensors
        parameters, parts = tensors[: ctx.count], _split(ctx.layout, tensors[ctx.count :])
        needed = iter(_split(ctx.layout, ctx.needs_input_grad[2 + ctx.count :]))
        found: list[Tensor | None] = []
        with ctx.autocast():
            scores = [_products(recipe, maps, shared, gradient) for recipe, maps, shared in parts]
            with torch.enable_grad():
                average = average.detach().requires_grad_()
                weights = ctx.weigh(average)
            learned = [parameter for parameter in parameters if parameter.requires_grad]
            of_weights = torch.stack(scores, 1).to(weights.dtype)
            of_average, *of_learned = torch.autograd.grad(weights, [average, *learned], of_weights)
            constant = _as_factor(of_average / gradient[0, 0].numel(), gradient).to(gradient.dtype)
            for index, (recipe, maps, shared) in enumerate(parts):
                weight = _as_factor(weights[:, index : index + 1].detach(), gradient).to(gradient.dtype)
                of_part = partial(_scaled, gradient, weight, constant)
                _, some, others = next(needed)
                found += _gradients(recipe, maps, shared, [*some, *others], of_part)
        of_parameters = iter(of_learned)
        return None, None, *(next(of_parameters) if p.requires_grad else None for p in parameters), *found


def _split(layout: Layout, tensors: Sequence[Any]) -> list[tuple[Any, Sequence[Any], Sequence[Any]]]:
    parts, start = [], 0
    for recipe, some, others in layout:
        parts.append((recipe, tensors[start : start + some], tensors[start + some : start + some + others]))
        start += some + others
    return parts


def _as_factor(values: Tensor, like: Tensor) -> Tensor:
    """``(N, C)`` as something to multiply a map with."""
    return values.reshape(*values.shape, *(1 for _ in like.shape[2:]))


def _scaled(gradient: Tensor, weight: Tensor, constant: Tensor, piece: slice) -> Tensor:
    return torch.addcmul(constant[:, piece], gradient[:, piece], weight)


def _products(recipe: Callable[..., Tensor], maps: Sequence[Tensor], shared: Sequence[Tensor], other: Tensor) -> Any:
    """Per sample the scalar product of a deferred map and another map."""
    pieces = channel_groups(maps[0])
    return sum(recipe([_cut(t, piece) for t in maps], shared).mul(other[:, piece]).flatten(1).sum(1) for piece in pieces)

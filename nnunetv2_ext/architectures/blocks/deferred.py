"""Maps that are made again in the backward, instead of being kept from the forward.

A step of training keeps what its backward needs: behind each convolution its output, for the norm, and the activated map, for
the next convolution; PReLU keeps one more. All but the convolution's output follow from it within a few operations per
value, where the convolution took hundreds. So a ``Deferred`` map is a recipe and the tensors it is made from. ``convolve``
and ``weighted_sum`` take one, keep the tensors alone, and make it again in the backward, some positions at a time, so that
what happens in between is never as large as a map either.

A compiler fuses such operations better than they are written here, and has its own way to make a map again. It gets a
``Pending`` map, which is a function in ordinary operations, and the request to repeat it in the backward.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from nnunetv2_ext.architectures.blocks.recipe import AsItIs, Gradients, Recipe, Tensors, as_factor, cut, pieces
from nnunetv2_ext.architectures.precision import autocast_type, restored_autocast
from nnunetv2_ext.architectures.processor.layout import channels_last
from nnunetv2_ext.architectures.processor.pointwise import convolution, convolution_backward, is_product


class Deferred(NamedTuple):
    """A map, as the recipe and the tensors it is made from."""

    recipe: Recipe
    tensors: tuple[Tensor, ...]


class Pending(NamedTuple):
    """A map for a compiler, as the function that makes it and what that takes."""

    function: Callable[..., Tensor]
    tensors: tuple[Tensor, ...]


Map = Tensor | Deferred | Pending


def made(x: Map) -> Tensor:
    """The map itself; what it is made from is kept, not what is on the way."""
    if isinstance(x, Pending):
        return repeated(*x)
    return x if isinstance(x, Tensor) else _Made.apply(x.recipe, *x.tensors)


def convolve(module: Any, x: Map) -> Tensor:
    """``module(x)`` for a convolution, which makes a deferred x again in the backward."""
    if isinstance(x, Pending):
        function = x.function
        return repeated(lambda *tensors: module(function(*tensors)), x.tensors)
    transposed = isinstance(module, nn.modules.conv._ConvTransposeNd)
    geometry = (module.stride, module.padding, module.dilation, transposed, module.output_padding, module.groups)
    if isinstance(x, Tensor):
        if not is_product(x, module.weight, geometry):
            return channels_last(module(x), restore=False)  # and so are all that follow
        x = Deferred(AsItIs(), (x,))
    return _Convolved.apply(x.recipe, geometry, module.weight, module.bias, *x.tensors)


def weighted_sum(weigh: Callable[[Tensor], Tensor], parameters: Tensors, inputs: Sequence[Map]) -> Tensor:
    """Sum of the inputs, each times the weight that the average of their sum gives it; a deferred input is never whole.

    Args:
        weigh: from the spatial average ``(N, C)`` of the sum of the inputs to one weight per input ``(N, K)``.
        parameters: what ``weigh`` has to learn.
        inputs: K maps ``(N, C, *spatial)``.
    """
    if any(isinstance(x, Pending) for x in inputs):
        waiting = [x if isinstance(x, Pending) else Pending(made, (x,)) for x in inputs]  # type: ignore[arg-type]
        counts = [(x.function, len(x.tensors)) for x in waiting]
        return repeated(
            lambda *tensors: plain_weighted_sum(weigh, [function(*some) for function, some in _split(counts, tensors)]),
            [tensor for x in waiting for tensor in x.tensors],
        )
    parts = [x if isinstance(x, Deferred) else Deferred(AsItIs(), (x,)) for x in inputs]  # type: ignore[arg-type]
    layout = [(part.recipe, len(part.tensors)) for part in parts]
    return _WeightedSum.apply(weigh, layout, *parameters, *(tensor for part in parts for tensor in part.tensors))


def plain_weighted_sum(weigh: Callable[[Tensor], Tensor], inputs: Tensors) -> Tensor:
    """The same in ordinary operations."""
    weights: Any = weigh(sum(x.flatten(2).mean(-1) for x in inputs))  # type: ignore[arg-type]
    return sum(as_factor(weights[:, index : index + 1], x) * x for index, x in enumerate(inputs))  # type: ignore[return-value]


def repeated(function: Callable[..., Any], tensors: Tensors) -> Any:
    """``function(*tensors)``, for a compiler: it keeps the tensors and makes again what the backward needs of the rest."""
    return checkpoint(function, *tensors, use_reentrant=False)


def _make(recipe: Recipe, tensors: Tensors) -> Tensor:
    out: Any = None
    for piece in pieces(tensors[0]):
        part = recipe.make(tensors, piece)
        if out is None:
            if part.shape == tensors[0].shape:
                return part
            out = torch.empty_like(tensors[0], dtype=part.dtype)
        cut(out, piece).copy_(part)
    return out


class _Made(torch.autograd.Function):
    """Makes a map, and keeps what it is made from."""

    @staticmethod
    def forward(ctx: Any, recipe: Recipe, *tensors: Tensor) -> Tensor:
        ctx.recipe, ctx.autocast = recipe, restored_autocast(tensors[0])
        ctx.save_for_backward(*tensors)
        return _make(recipe, tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        tensors = ctx.saved_tensors  # asked for once: a checkpoint hands them out once
        with ctx.autocast():
            return None, *ctx.recipe.gradients(tensors, ctx.needs_input_grad[1:], partial(cut, gradient), None)


class _Convolved(torch.autograd.Function):
    """Makes a map and convolves it, and keeps what the map is made from."""

    @staticmethod
    def forward(
        ctx: Any, recipe: Recipe, geometry: tuple[Any, ...], weight: Tensor, bias: Tensor | None, *tensors: Tensor
    ) -> Tensor:
        ctx.recipe, ctx.geometry, ctx.autocast = recipe, geometry, restored_autocast(tensors[0])
        ctx.has_bias = bias is not None
        ctx.save_for_backward(weight, *tensors)
        x = _make(recipe, tensors)
        dtype = autocast_type(x)
        return convolution(x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype), geometry)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        weight, *tensors = ctx.saved_tensors
        needs_weight, needs_bias, *needed = ctx.needs_input_grad[2:]
        dtype = gradient.dtype
        with ctx.autocast():
            x = _make(ctx.recipe, tensors).to(dtype)
        wanted = [any(needed), needs_weight, ctx.has_bias and needs_bias]
        gradient, of_weight, of_bias = convolution_backward(gradient, x, weight.to(dtype), ctx.geometry, wanted)
        del x
        with ctx.autocast():
            found = (
                ctx.recipe.gradients(tensors, needed, partial(cut, gradient), gradient)
                if any(needed)
                else [None for _ in needed]
            )
        of_weight, of_bias = (g if g is None else g.to(weight.dtype) for g in (of_weight, of_bias))
        return None, None, of_weight, of_bias, *found


class _WeightedSum(torch.autograd.Function):
    """The sum of maps, each times the weight it gets from the average of their sum, and keeps what the maps are made from."""

    @staticmethod
    def forward(ctx: Any, weigh: Callable[[Tensor], Tensor], layout: Sequence[tuple[Recipe, int]], *tensors: Tensor) -> Tensor:
        count = len(tensors) - sum(some for _, some in layout)
        ctx.weigh, ctx.layout, ctx.count, ctx.autocast = weigh, layout, count, restored_autocast(tensors[-1])
        parts = _split(layout, tensors[count:])
        first = parts[0][1][0]
        axes = list(range(2, first.dim()))
        total: Any = sum(recipe.make(some, piece).sum(axes) for piece in pieces(first) for recipe, some in parts)
        average = total / first[0, 0].numel()
        weights = weigh(average)
        ctx.save_for_backward(average, *tensors)
        out: Any = None
        for piece in pieces(first):
            for index, (recipe, some) in enumerate(parts):
                part = recipe.make(some, piece)
                if out is None:
                    out = torch.zeros_like(first, dtype=part.dtype)
                cut(out, piece).addcmul_(part, as_factor(weights[:, index : index + 1].to(part.dtype), part))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        average, *tensors = ctx.saved_tensors
        parameters, parts = tensors[: ctx.count], _split(ctx.layout, tensors[ctx.count :])
        needed = iter(_split(ctx.layout, ctx.needs_input_grad[2 + ctx.count :]))
        found: Gradients = []
        with ctx.autocast():
            scores = [_products(recipe, some, gradient) for recipe, some in parts]
            with torch.enable_grad():
                average = average.detach().requires_grad_()
                weights = ctx.weigh(average)
            learned = [parameter for parameter in parameters if parameter.requires_grad]
            of_weights = torch.stack(scores, 1).to(weights.dtype)
            of_average, *of_learned = torch.autograd.grad(weights, [average, *learned], of_weights)
            constant = as_factor(of_average / gradient[0, 0].numel(), gradient).to(gradient.dtype)
            for index, (recipe, some) in enumerate(parts):
                weight = as_factor(weights[:, index : index + 1].detach(), gradient).to(gradient.dtype)
                _, needs = next(needed)
                found += recipe.gradients(some, needs, partial(_gradient_of_part, gradient, weight, constant), None)
        of_parameters = iter(of_learned)
        return None, None, *(next(of_parameters) if p.requires_grad else None for p in parameters), *found


def _split(layout: Sequence[tuple[Any, int]], tensors: Sequence[Any]) -> list[tuple[Any, Sequence[Any]]]:
    parts, start = [], 0
    for recipe, count in layout:
        parts.append((recipe, tensors[start : start + count]))
        start += count
    return parts


def _gradient_of_part(gradient: Tensor, weight: Tensor, constant: Tensor, piece: slice) -> Tensor:
    return torch.addcmul(constant, cut(gradient, piece), weight)


def _products(recipe: Recipe, tensors: Tensors, other: Tensor) -> Any:
    """Per sample the scalar product of a deferred map and another map."""
    axes = list(range(1, other.dim()))
    return sum(recipe.make(tensors, piece).mul(cut(other, piece)).sum(axes) for piece in pieces(other))

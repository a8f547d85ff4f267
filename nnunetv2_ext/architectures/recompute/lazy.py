"""Lazy feature maps: computed when an operation needs them, and computed again in its backward instead of being kept.

Behind each convolution autograd keeps the output, for the norm, and the activated map, for the next convolution; PReLU keeps
one more. All but the convolution's output follow from it within a few operations per value. So a ``LazyMap`` holds a producer
and the tensors it computes from. ``convolve`` and ``weighted_sum`` take one, keep these tensors alone, and compute the map
again in the backward, a chunk of positions at a time, so that no intermediate result is as large as a map.

A compiler fuses such operations better than they are written here and recomputes in its own way. It gets a ``TracedMap``, a
function in ordinary operations, inside ``torch.utils.checkpoint``.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from nnunetv2_ext.architectures.cpu.layout import channels_last
from nnunetv2_ext.architectures.cpu.pointwise import convolution, convolution_backward, is_matmul
from nnunetv2_ext.architectures.precision import autocast_type, restored_autocast
from nnunetv2_ext.architectures.recompute.producers import Gradients, Identity, Producer, Tensors, broadcast, chunks, take


class LazyMap(NamedTuple):
    """A feature map as its producer and the tensors that this computes it from."""

    producer: Producer
    tensors: tuple[Tensor, ...]


class TracedMap(NamedTuple):
    """A lazy feature map for a compiler: a function and its arguments."""

    function: Callable[..., Tensor]
    tensors: tuple[Tensor, ...]


FeatureMap = Tensor | LazyMap | TracedMap


def materialize(x: FeatureMap) -> Tensor:
    """The map as a tensor; autograd keeps what it is computed from, and nothing in between."""
    if isinstance(x, TracedMap):
        return checkpointed(*x)
    return x if isinstance(x, Tensor) else _Materialize.apply(x.producer, *x.tensors)


def convolve(module: Any, x: FeatureMap) -> Tensor:
    """``module(x)`` for a convolution, which computes a lazy x again in the backward."""
    if isinstance(x, TracedMap):
        function = x.function
        return checkpointed(lambda *tensors: module(function(*tensors)), x.tensors)
    transposed = isinstance(module, nn.modules.conv._ConvTransposeNd)
    geometry = (module.stride, module.padding, module.dilation, transposed, module.output_padding, module.groups)
    if isinstance(x, Tensor):
        if not is_matmul(x, module.weight, geometry):
            return channels_last(module(x), restore=False)  # and so are all that follow
        x = LazyMap(Identity(), (x,))
    return _Convolve.apply(x.producer, geometry, module.weight, module.bias, *x.tensors)


def weighted_sum(weigh: Callable[[Tensor], Tensor], parameters: Tensors, inputs: Sequence[FeatureMap]) -> Tensor:
    """Sum of the inputs, each times a weight that follows from the average of their sum; no lazy input is ever whole.

    Args:
        weigh: from the spatial average ``(N, C)`` of the sum of the inputs to one weight per input ``(N, K)``.
        parameters: the parameters of ``weigh``.
        inputs: K maps ``(N, C, *spatial)``.
    """
    if any(isinstance(x, TracedMap) for x in inputs):
        traced = [x if isinstance(x, TracedMap) else TracedMap(materialize, (x,)) for x in inputs]  # type: ignore[arg-type]
        counts = [(x.function, len(x.tensors)) for x in traced]
        return checkpointed(
            lambda *tensors: plain_weighted_sum(weigh, [function(*own) for function, own in _split(counts, tensors)]),
            [tensor for x in traced for tensor in x.tensors],
        )
    lazy = [x if isinstance(x, LazyMap) else LazyMap(Identity(), (x,)) for x in inputs]  # type: ignore[arg-type]
    layout = [(x.producer, len(x.tensors)) for x in lazy]
    return _WeightedSum.apply(weigh, layout, *parameters, *(tensor for x in lazy for tensor in x.tensors))


def plain_weighted_sum(weigh: Callable[[Tensor], Tensor], inputs: Tensors) -> Tensor:
    """The same in ordinary operations."""
    weights: Any = weigh(sum(x.flatten(2).mean(-1) for x in inputs))  # type: ignore[arg-type]
    return sum(broadcast(weights[:, index : index + 1].to(x.dtype), x) * x for index, x in enumerate(inputs))  # type: ignore[return-value]


def checkpointed(function: Callable[..., Any], tensors: Tensors) -> Any:
    """``function(*tensors)`` for a compiler, which keeps the tensors and recomputes what the backward needs of the rest."""
    return checkpoint(function, *tensors, use_reentrant=False)


def _compute(producer: Producer, tensors: Tensors) -> Tensor:
    out: Any = None
    for chunk in chunks(tensors[0]):
        part = producer.compute(tensors, chunk)
        if out is None:
            if part.shape == tensors[0].shape:
                return part
            out = torch.empty_like(tensors[0], dtype=part.dtype)
        take(out, chunk).copy_(part)
    return out


class _Materialize(torch.autograd.Function):
    """Computes a map and keeps what it is computed from."""

    @staticmethod
    def forward(ctx: Any, producer: Producer, *tensors: Tensor) -> Tensor:
        ctx.producer, ctx.autocast = producer, restored_autocast(tensors[0])
        ctx.save_for_backward(*tensors)
        return _compute(producer, tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        tensors = ctx.saved_tensors  # read once: under torch.utils.checkpoint a second read fails
        with ctx.autocast():
            return None, *ctx.producer.backward(tensors, ctx.needs_input_grad[1:], partial(take, grad_output), None)


class _Convolve(torch.autograd.Function):
    """Computes a map, convolves it, and keeps what the map is computed from."""

    @staticmethod
    def forward(
        ctx: Any, producer: Producer, geometry: tuple[Any, ...], weight: Tensor, bias: Tensor | None, *tensors: Tensor
    ) -> Tensor:
        ctx.producer, ctx.geometry, ctx.autocast = producer, geometry, restored_autocast(tensors[0])
        ctx.has_bias = bias is not None
        ctx.save_for_backward(weight, *tensors)
        x = _compute(producer, tensors)
        dtype = autocast_type(x)
        return convolution(x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype), geometry)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        weight, *tensors = ctx.saved_tensors
        needs_weight, needs_bias, *needs_tensors = ctx.needs_input_grad[2:]
        dtype = grad_output.dtype
        with ctx.autocast():
            x = _compute(ctx.producer, tensors).to(dtype)
        output_mask = [any(needs_tensors), needs_weight, ctx.has_bias and needs_bias]
        grad_x, grad_weight, grad_bias = convolution_backward(grad_output, x, weight.to(dtype), ctx.geometry, output_mask)
        del x
        grads: Gradients = [None for _ in needs_tensors]
        if any(needs_tensors):
            with ctx.autocast():
                grads = ctx.producer.backward(tensors, needs_tensors, partial(take, grad_x), grad_x)
        grad_weight, grad_bias = (grad if grad is None else grad.to(weight.dtype) for grad in (grad_weight, grad_bias))
        return None, None, grad_weight, grad_bias, *grads


class _WeightedSum(torch.autograd.Function):
    """``weighted_sum``; it keeps what the maps are computed from."""

    @staticmethod
    def forward(
        ctx: Any, weigh: Callable[[Tensor], Tensor], layout: Sequence[tuple[Producer, int]], *tensors: Tensor
    ) -> Tensor:
        count = len(tensors) - sum(own for _, own in layout)
        ctx.weigh, ctx.layout, ctx.count, ctx.autocast = weigh, layout, count, restored_autocast(tensors[-1])
        maps = _split(layout, tensors[count:])
        first = maps[0][1][0]
        axes = list(range(2, first.dim()))
        total: Any = sum(producer.compute(own, chunk).sum(axes) for chunk in chunks(first) for producer, own in maps)
        average = total / first[0, 0].numel()
        weights = weigh(average)
        ctx.save_for_backward(average, *tensors)
        out: Any = None
        for chunk in chunks(first):
            for index, (producer, own) in enumerate(maps):
                part = producer.compute(own, chunk)
                if out is None:
                    out = torch.zeros_like(first, dtype=part.dtype)
                take(out, chunk).addcmul_(part, broadcast(weights[:, index : index + 1].to(part.dtype), part))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        average, *tensors = ctx.saved_tensors
        parameters, maps = tensors[: ctx.count], _split(ctx.layout, tensors[ctx.count :])
        needs_grad = iter(_split(ctx.layout, ctx.needs_input_grad[2 + ctx.count :]))
        grads: Gradients = []
        with ctx.autocast():
            scores = [_scalar_product(producer, own, grad_output) for producer, own in maps]
            with torch.enable_grad():
                average = average.detach().requires_grad_()
                weights = ctx.weigh(average)
            learned = [parameter for parameter in parameters if parameter.requires_grad]
            grad_weights = torch.stack(scores, 1).to(weights.dtype)
            grad_average, *grad_learned = torch.autograd.grad(weights, [average, *learned], grad_weights)
            constant = broadcast(grad_average / grad_output[0, 0].numel(), grad_output).to(grad_output.dtype)
            for index, (producer, own) in enumerate(maps):
                weight = broadcast(weights[:, index : index + 1].detach(), grad_output).to(grad_output.dtype)
                _, needs = next(needs_grad)
                grads += producer.backward(own, needs, partial(_grad_of_summand, grad_output, weight, constant), None)
        grad_parameters = iter(grad_learned)
        return None, None, *(next(grad_parameters) if p.requires_grad else None for p in parameters), *grads


def _split(layout: Sequence[tuple[Any, int]], tensors: Sequence[Any]) -> list[tuple[Any, Sequence[Any]]]:
    parts, start = [], 0
    for owner, count in layout:
        parts.append((owner, tensors[start : start + count]))
        start += count
    return parts


def _grad_of_summand(grad_output: Tensor, weight: Tensor, constant: Tensor, chunk: slice) -> Tensor:
    return torch.addcmul(constant, take(grad_output, chunk), weight)


def _scalar_product(producer: Producer, tensors: Tensors, other: Tensor) -> Any:
    """The scalar product of a lazy map and another map, per sample."""
    axes = list(range(1, other.dim()))
    return sum(producer.compute(tensors, chunk).mul(take(other, chunk)).sum(axes) for chunk in chunks(other))

"""Maps that are made again in the backward, instead of being kept from the forward.

A step of training keeps what its backward needs: behind each convolution its output, for the norm, and the activated map, for
the next convolution; PReLU keeps one more. All but the convolution's output follow from it within a few operations per
value, where the convolution took hundreds. So a ``Deferred`` map is a recipe and the tensors it is made from. ``convolve``,
``spatial_mean`` and ``weighted_sum`` take one, keep the tensors alone, and make it again in the backward, a few channels at a
time, so that what happens in between is never as large as a map either.

The result is exact: the recipe is evaluated with the same operations as in the plain form, and autograd differentiates it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

Form = Literal["plain", "fast", "frugal"]

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


def activated(x: Tensor, norm: Any, activation: nn.Module) -> Map:
    """``activation(norm(x))``: deferred where both are known to work channel by channel, else from the modules themselves.

    The running statistics of a BatchNorm are brought up to date here, once, however often the map is made.
    """
    slope = _slope(activation)
    instance = type(norm) in _INSTANCE_NORMS
    values = x[0, 0].numel() if instance else x[:, 0].numel()
    if slope is None or type(norm) not in (*_BATCH_NORMS, *_INSTANCE_NORMS) or values == 1:
        return activation(x if norm is None else norm(x))
    if instance and norm.track_running_stats:
        return activation(norm(x))
    vectors: list[Tensor] = [*_statistics(norm, x, instance)]
    vectors += [] if norm.weight is None else [norm.weight, norm.bias]
    shared: tuple[Tensor, ...] = ()
    if isinstance(slope, Tensor) and slope.numel() == 1:
        shared = (slope,)
    elif isinstance(slope, Tensor):
        vectors.append(slope)
    recipe = partial(_normalise_activate, slope if isinstance(slope, float) else None, norm.weight is not None)
    return Deferred(recipe, (x, *vectors), shared)


def chain(blocks: Any, x: Map) -> Map:
    """Convolution, norm and nonlinearity of each block in turn; only what the convolutions give is kept.

    Args:
        blocks: modules with ``conv`` and then, as their other children, a norm and a nonlinearity; others are called.
        x: what the first one takes.
    """
    for block in blocks:
        names, modules = zip(*block.named_children(), strict=True)
        x = activated(convolve(block.conv, x), *modules[1:]) if names in _UNITS else block(made(x))
    return x


def in_form(form: Form, module: nn.Module, plain: Callable[..., Any], recomputed: Callable[..., Any], *inputs: Any) -> Any:
    """Calls one of two implementations of a block, as its form says, where there is a backward to save for.

    A compiler decides by itself what it makes again, so it always gets the plain one; how much it makes again is its own
    ``torch._functorch.config.activation_memory_budget``.

    Args:
        form: ``"plain"``; ``"fast"``, which calls ``recomputed``; or ``"frugal"``, which calls it, keeps the inputs alone, and
            calls it again in the backward, without touching the running statistics.
        module: the block.
        plain: its implementation in ordinary operations.
        recomputed: its implementation in deferred maps.
        inputs: what both take.
    """
    if form == "plain" or not (module.training and torch.is_grad_enabled()) or torch.compiler.is_compiling():
        return plain(*inputs)
    if form == "frugal":
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        return _Repeated.apply(recomputed, module, len(inputs), *inputs, *parameters)
    return recomputed(*inputs)


_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
_UNITS = (("conv", "norm", "activation"), ("conv", "norm", "nonlinearity"))


def _slope(activation: Any) -> float | Tensor | None:
    """The factor below zero, or None for an activation that isn't linear below zero."""
    if type(activation) is nn.PReLU:
        return activation.weight
    if type(activation) is nn.LeakyReLU:
        return float(activation.negative_slope)
    return 0.0 if type(activation) is nn.ReLU else None


@torch.no_grad()
def _statistics(norm: Any, x: Tensor, instance: bool) -> tuple[Tensor, Tensor]:
    """Mean and inverse standard deviation: per channel, or per sample and channel."""
    momentum, running = 0.0, False
    if not instance and norm.track_running_stats:
        running = True
        norm.num_batches_tracked.add_(1)
        momentum = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    found = []
    for piece in _pieces(x):
        part = x[:, piece]
        flat = part.reshape(1, -1, *x.shape[2:]) if instance else part
        kept = (norm.running_mean[piece], norm.running_var[piece]) if running else (None, None)
        one = flat.new_ones(flat.shape[1], dtype=_parameter_type(x))
        statistics = torch.ops.aten.native_batch_norm(flat, one, one, *kept, True, momentum, norm.eps)[1:]
        found.append([v.reshape(part.shape[:2]) if instance else v for v in statistics])
    mean, inverse_deviation = (torch.cat(values, -1) for values in zip(*found, strict=True))
    return mean, inverse_deviation


def _parameter_type(x: Tensor) -> torch.dtype:
    """A norm works in float32 at least, whatever the precision of its input."""
    return torch.promote_types(x.dtype, torch.float32)


def _normalise_activate(constant: float | None, affine: bool, maps: Sequence[Tensor], shared: Sequence[Tensor]) -> Tensor:
    x, mean, inverse_deviation, *vectors = maps
    weight, bias, *slope = vectors if affine else (None, None, *vectors)
    return _NormalisedActivated.apply(x, mean, inverse_deviation, weight, bias, *(slope or shared or [constant]))


class _NormalisedActivated(torch.autograd.Function):
    """Norm with given statistics, which are functions of x all the same, and PReLU or LeakyReLU."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        mean: Tensor,
        inverse_deviation: Tensor,
        weight: Any,
        bias: Any,
        slope: Tensor | float,
    ) -> Tensor:
        samples = mean.shape[0] if mean.dim() == 2 else 1  # of an instance norm, whose samples are channels of their own
        flat = x.reshape(1, -1, *x.shape[2:]) if mean.dim() == 2 else x
        ctx.affine = weight is not None
        if weight is None:
            weight, bias = (x.new_full((x.shape[1],), value, dtype=_parameter_type(x)) for value in (1.0, 0.0))
        weight, bias = weight.repeat(samples), bias.repeat(samples)
        mean, inverse_deviation = mean.flatten(), inverse_deviation.flatten()
        y = torch.ops.aten.native_batch_norm(flat, weight, bias, mean, inverse_deviation**-2, False, 0.0, 0.0)[0].view(x.shape)
        ctx.samples, ctx.constant = samples, None if isinstance(slope, Tensor) else slope
        ctx.save_for_backward(flat, mean, inverse_deviation, weight, slope if isinstance(slope, Tensor) else None, y)
        if isinstance(slope, Tensor):
            return functional.prelu(y, slope.to(y.dtype))
        return functional.leaky_relu(y, slope)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        flat, mean, inverse_deviation, weight, slope, y = ctx.saved_tensors
        of_slope = None
        if slope is None:
            gradient = torch.ops.aten.leaky_relu_backward(gradient, y, ctx.constant, False)
        else:  # several times faster than torch's own on a processor
            above = torch.ops.aten.threshold_backward(gradient, y, 0)
            below = gradient - above
            gradient = above.addcmul_(below, slope.to(y.dtype).view(-1, *(1 for _ in y.shape[2:])))
            of_slope = below.mul_(y).sum([0, *range(2, y.dim())])
            of_slope = (of_slope.sum(0, keepdim=True) if slope.numel() == 1 else of_slope).to(slope.dtype)
        mask = [True, ctx.affine, ctx.affine]
        gradient = gradient.reshape(flat.shape)
        of_x, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, flat, weight, None, None, mean, inverse_deviation, True, 0.0, mask
        )
        if not ctx.affine:
            return of_x.view(y.shape), None, None, None, None, of_slope
        of_weight, of_bias = (v.view(ctx.samples, -1).sum(0) for v in (of_weight, of_bias))
        return of_x.view(y.shape), None, None, of_weight, of_bias, of_slope


def _itself(maps: Sequence[Tensor], shared: Sequence[Tensor]) -> Tensor:  # noqa: ARG001
    return maps[0]


def _mean(recipe: Callable[..., Tensor], maps: Sequence[Tensor], shared: Sequence[Tensor]) -> Tensor:
    return recipe(maps, shared).flatten(2).mean(-1)


def _pieces(x: Tensor) -> Iterator[slice]:
    channels = x.shape[1]
    count = max(1, min(PIECES, channels, x.nbytes // SMALLEST_PIECE))
    width = -(-channels // count)
    return (slice(start, min(start + width, channels)) for start in range(0, channels, width))


def _cut(tensor: Tensor, piece: slice) -> Tensor:
    return tensor[piece] if tensor.dim() == 1 else tensor[:, piece]


def _make(recipe: Callable[..., Tensor], maps: Sequence[Tensor], shared: Sequence[Tensor]) -> Tensor:
    out: Any = None
    for piece in _pieces(maps[0]):
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
    for piece in _pieces(maps[0]):
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
        ctx.recipe, ctx.count, ctx.autocast = recipe, count, _autocast(tensors[0])
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
        ctx.recipe, ctx.count, ctx.geometry, ctx.autocast = recipe, count, geometry, _autocast(tensors[0])
        ctx.bias_sizes = None if bias is None else list(bias.shape)
        ctx.save_for_backward(weight, *tensors)
        x = _make(recipe, tensors[:count], tensors[count:])
        dtype = _autocast_type(x)
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
        ctx.weigh, ctx.layout, ctx.count, ctx.autocast = weigh, layout, count, _autocast(tensors[-1])
        parts = _split(layout, tensors[count:])
        average: Any = sum(_make(partial(_mean, recipe), maps, shared) for recipe, maps, shared in parts)
        weights = weigh(average)
        ctx.save_for_backward(average, *tensors)
        first = parts[0][1][0]
        out: Any = None
        for piece in _pieces(first):
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
    pieces = _pieces(maps[0])
    return sum(recipe([_cut(t, piece) for t in maps], shared).mul(other[:, piece]).flatten(1).sum(1) for piece in pieces)


class _Repeated(torch.autograd.Function):
    """Calls a function, keeps its inputs, and calls it again in the backward.

    What torch.utils.checkpoint does, but for the running statistics.
    """

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Any], module: nn.Module, count: int, *tensors: Tensor) -> Any:
        ctx.function, ctx.module, ctx.autocast = function, module, _autocast(tensors[0])
        ctx.parameters = tensors[count:]
        ctx.save_for_backward(*tensors[:count])
        ctx.random_state = _random_state(tensors[0].device) if _draws(module) else None
        out = function(*tensors[:count])
        return out if isinstance(out, Tensor) else tuple(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        inputs = [
            tensor.detach().requires_grad_(need)
            for tensor, need in zip(ctx.saved_tensors, ctx.needs_input_grad[3:], strict=False)
        ]
        with torch.enable_grad(), ctx.autocast(), _without_statistics(ctx.module), _with_random_state(ctx.random_state):
            out = ctx.function(*inputs)
        wanted = [tensor for tensor in (*inputs, *ctx.parameters) if tensor.requires_grad]
        found = iter(torch.autograd.grad(out, wanted, gradients, allow_unused=True))
        return None, None, None, *(next(found) if tensor.requires_grad else None for tensor in (*inputs, *ctx.parameters))


def _autocast_type(x: Tensor) -> torch.dtype:
    """What autocast would have a convolution of x compute in; it doesn't look into a function of ours."""
    device = x.device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device) or x.dtype == torch.float64:
        return x.dtype
    return torch.get_autocast_dtype(device)


def _autocast(x: Tensor) -> Callable[[], AbstractContextManager[Any]]:
    """What brings back, in the backward, the mixed precision of the forward."""
    device = x.device.type
    if not torch.amp.is_autocast_available(device):
        return nullcontext
    dtype, enabled = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
    return partial(torch.autocast, device, dtype=dtype, enabled=enabled)


def _draws(module: nn.Module) -> bool:
    return any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0 for m in module.modules())


def _random_state(device: torch.device) -> tuple[torch.device, Tensor, Tensor | None]:
    return device, torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


@contextmanager
def _with_random_state(state: tuple[torch.device, Tensor, Tensor | None] | None) -> Iterator[None]:
    if state is None:
        yield
        return
    device, processor, accelerator = state
    with torch.random.fork_rng([device] if accelerator is not None else []):
        torch.set_rng_state(processor)
        if accelerator is not None:
            torch.cuda.set_rng_state(accelerator, device)
        yield


@contextmanager
def _without_statistics(module: nn.Module) -> Iterator[None]:
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True

"""Norm and activation behind a convolution, deferred."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_ext.architectures.blocks.deferred import Deferred, Map, Pending, convolve, made
from nnunetv2_ext.architectures.blocks.recipe import GradientOf, Gradients, Tensors, as_factor, cut, like, pieces

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
UNITS = (("conv", "norm", "activation"), ("conv", "norm", "nonlinearity"))


def chain(blocks: Any, x: Map) -> Map:
    """Convolution, norm and nonlinearity of each block in turn; only what the convolutions give is kept.

    Args:
        blocks: modules with ``conv`` and then, as their other children, a norm and a nonlinearity; others are called.
        x: what the first one takes.
    """
    for block in blocks:
        names, modules = zip(*block.named_children(), strict=True)
        x = activated(convolve(block.conv, x), *modules[1:]) if names in UNITS else block(made(x))
    return x


def activated(x: Tensor, norm: Any, activation: nn.Module) -> Map:
    """``activation(norm(x))``: deferred where both are known to work channel by channel, else from the modules themselves.

    The running statistics of a BatchNorm are brought up to date here, once, however often the map is made.
    """
    if torch.compiler.is_compiling() and norm is not None:
        return Pending(lambda x: activation(norm(x)), (x,))
    slope = _slope(activation)
    instance = type(norm) in INSTANCE_NORMS
    values = x[0, 0].numel() if instance else x[:, 0].numel()
    if slope is None or type(norm) not in (*BATCH_NORMS, *INSTANCE_NORMS) or values == 1:
        return activation(x if norm is None else norm(x))
    if norm.track_running_stats and (instance or not norm.training):
        return activation(norm(x))
    mean, variance = statistics(x, instance=instance)
    if not instance and norm.track_running_stats:
        _update(norm, mean, variance, values)
    learned = [] if norm.weight is None else [norm.weight, norm.bias]
    learned += [slope] if isinstance(slope, Tensor) else []
    recipe = NormalisedActivated(1, norm.weight is not None, None if isinstance(slope, Tensor) else slope)
    return Deferred(recipe, (x, mean, (variance + norm.eps).rsqrt(), *learned))


@torch.no_grad()
def statistics(x: Tensor, *, instance: bool) -> tuple[Tensor, Tensor]:
    """Mean and variance, in single precision at least: per channel ``(C,)``, or per sample and channel ``(N, C)``."""
    axes = [0, *range(2, x.dim())][instance:]
    count = x[0, 0].numel() * (1 if instance else len(x))
    dtype = torch.promote_types(x.dtype, torch.float32)
    mean: Any = sum(cut(x, piece).sum(axes, dtype=dtype) for piece in pieces(x)) / count
    centre = as_factor(mean, x)
    variance: Any = sum((cut(x, piece) - centre).square_().sum(axes) for piece in pieces(x)) / count
    return mean, variance


@torch.no_grad()
def _update(norm: Any, mean: Tensor, variance: Tensor, count: int) -> None:
    norm.num_batches_tracked.add_(1)
    momentum = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
    norm.running_var.lerp_(variance.to(norm.running_var.dtype) * (count / (count - 1)), momentum)


def _slope(activation: Any) -> float | Tensor | None:
    """The factor below zero, or None for an activation that isn't linear below zero."""
    if type(activation) is nn.PReLU:
        return activation.weight
    if type(activation) is nn.LeakyReLU:
        return float(activation.negative_slope)
    return 0.0 if type(activation) is nn.ReLU else None


class _Parts(NamedTuple):
    """The tensors of the recipe below, by what they are."""

    maps: Tensors
    means: Tensors
    inverse_deviations: Tensors
    weight: Tensor | None
    bias: Tensor | None
    slope: Tensor | None


class NormalisedActivated:
    """The recipe of the sum of maps, each normalised with its own statistics, weighed, shifted, and activated.

    Its tensors are the maps, of each its mean and inverse standard deviation, one per channel or per sample and channel, then
    weight and bias, if it is affine, and the slope below zero, if that is learned. The statistics are functions of the maps,
    and the gradients of the maps are those that take this into account.

    Args:
        count: how many maps there are.
        affine: whether there are weight and bias.
        slope: the slope below zero, None if it is learned.
    """

    def __init__(self, count: int, affine: bool, slope: float | None) -> None:
        self.count = count
        self.affine = affine
        self.slope = slope

    def make(self, tensors: Tensors, piece: slice) -> Tensor:
        parts = self._parts(tensors)
        y = self._normalised(parts, piece)
        if parts.slope is not None:
            return functional.prelu(y, parts.slope.to(y.dtype))
        return functional.leaky_relu_(y, self.slope)  # type: ignore[arg-type]

    def gradients(self, tensors: Tensors, needed: Sequence[bool], gradient: GradientOf, place: Tensor | None) -> Gradients:
        parts = self._parts(tensors)
        first = parts.maps[0]
        instance = parts.means[0].dim() == 2
        axes = [0, *range(2, first.dim())][instance:]
        every = range(self.count)
        of_maps = [like(x, place if index == 0 else None) for index, x in enumerate(parts.maps)]
        # Behind the norm: the sum of the gradients, and of the gradients times the centred map, per set of statistics.
        sums: Any = 0
        products: list[Any] = [0 for _ in every]
        of_slope: Any = 0
        for piece in pieces(first):
            of_piece, below = self._behind_norm(parts, piece, gradient(piece))
            sums = sums + of_piece.sum(axes, dtype=parts.means[0].dtype)
            for index in every:
                centred = cut(parts.maps[index], piece) - as_factor(parts.means[index], first)
                products[index] = products[index] + centred.mul_(of_piece).sum(axes)
            if below is not None:
                of_slope = of_slope + below.sum([0, *range(2, first.dim())])
            cut(of_maps[0], piece).copy_(of_piece)
        values = first[0, 0].numel() * (1 if instance else len(first))
        factors = [self._factors(parts, index, sums / values, products[index] / values) for index in every]
        for piece in pieces(first):
            of_piece = cut(of_maps[0], piece)
            for index in reversed(every):  # the first one's place holds the gradient behind the norm until then
                slope, constant, scale = (as_factor(factor, first) for factor in factors[index])
                of_map = torch.addcmul(constant, cut(parts.maps[index], piece), slope).addcmul_(of_piece, scale)
                cut(of_maps[index], piece).copy_(of_map)
        found: Gradients = [*of_maps, *(None for _ in range(2 * self.count))]
        if self.affine:
            of_weight = products[0] * parts.inverse_deviations[0]
            found += [(g.sum(0) if instance else g).to(parts.weight.dtype) for g in (of_weight, sums)]  # type: ignore[union-attr]
        if parts.slope is not None:
            found.append((of_slope.sum(0, keepdim=True) if parts.slope.numel() == 1 else of_slope).to(parts.slope.dtype))
        return [g if need else None for g, need in zip(found, needed, strict=True)]

    def _parts(self, tensors: Tensors) -> _Parts:
        maps, others = tensors[: self.count], tensors[self.count :]
        means, inverse_deviations = others[: 2 * self.count : 2], others[1 : 2 * self.count : 2]
        learned = iter(others[2 * self.count :])
        weight, bias = (next(learned), next(learned)) if self.affine else (None, None)
        return _Parts(maps, means, inverse_deviations, weight, bias, next(learned, None))

    def _normalised(self, parts: _Parts, piece: slice) -> Tensor:
        """The sum before the activation, in the precision of the maps."""
        y: Any = 0 if parts.bias is None else parts.bias
        scales = list(self._scales(parts))
        for mean, scale in zip(parts.means, scales, strict=True):
            y = y - mean * scale
        y = as_factor(y, parts.maps[0])
        for x, scale in zip(parts.maps, scales, strict=True):
            y = torch.addcmul(y, cut(x, piece), as_factor(scale, x))
        return y.to(parts.maps[0].dtype)

    def _scales(self, parts: _Parts) -> Iterator[Tensor]:
        for inverse_deviation in parts.inverse_deviations:
            yield inverse_deviation if parts.weight is None else inverse_deviation * parts.weight

    def _behind_norm(self, parts: _Parts, piece: slice, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        """The gradient before the activation; and where the slope is learned, that times the map where it is below zero."""
        y = self._normalised(parts, piece)
        if parts.slope is None:
            return torch.ops.aten.leaky_relu_backward(gradient, y, self.slope, False), None
        # several times faster than torch's own on a processor
        above = torch.ops.aten.threshold_backward(gradient, y, 0)
        below = gradient - above
        above.addcmul_(below, as_factor(parts.slope.to(y.dtype), y))
        return above, below.mul_(y)

    def _factors(self, parts: _Parts, index: int, mean: Tensor, product: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gradient of a map is a linear function of the map and of the gradient behind the norm: slope, constant, scale."""
        inverse_deviation = parts.inverse_deviations[index]
        scale = list(self._scales(parts))[index]
        slope = -scale * inverse_deviation**2 * product
        return slope, -scale * mean - slope * parts.means[index], scale

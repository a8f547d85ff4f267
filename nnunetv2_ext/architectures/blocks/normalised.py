"""Norm and activation behind a convolution, deferred."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nnunetv2_ext.architectures.blocks.deferred import Deferred, Map, channel_groups, convolve, made

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
_UNITS = (("conv", "norm", "activation"), ("conv", "norm", "nonlinearity"))


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
    for piece in channel_groups(x):
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

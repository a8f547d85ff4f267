"""Norm and activation behind a convolution, as a lazy feature map."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from nnunetv2_ext.architectures.cpu.dispatch import is_eager_cpu
from nnunetv2_ext.architectures.precision import at_least_single
from nnunetv2_ext.architectures.processes import averages_of_sums, combined_statistics, is_distributed
from nnunetv2_ext.architectures.recompute.lazy import FeatureMap, LazyMap, TracedMap, convolve, materialize
from nnunetv2_ext.architectures.recompute.producers import (
    GradientOf,
    Gradients,
    Tensors,
    broadcast,
    chunks,
    empty_like,
    take,
)

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
UNITS = (("conv", "norm", "activation"), ("conv", "norm", "nonlinearity"))


def lazy_chain(blocks: Any, x: FeatureMap) -> FeatureMap:
    """Convolution, norm and nonlinearity of each block in turn; only the outputs of the convolutions are kept.

    Args:
        blocks: modules whose children are ``conv``, a norm and a nonlinearity; any other module is called as it is.
        x: the input of the first block.
    """
    for block in blocks:
        names, modules = zip(*block.named_children(), strict=True)
        x = norm_activation(convolve(block.conv, x), *modules[1:]) if names in UNITS else block(materialize(x))
    return x


def norm_activation(x: Tensor, norm: Any, activation: nn.Module) -> FeatureMap:
    """``activation(norm(x))``, lazily if both are known to work channel by channel, else by calling the modules.

    The running statistics of a BatchNorm are updated here, once, however often the map is computed. Those of a SyncBatchNorm
    are over all processes.
    """
    if torch.compiler.is_compiling():
        return _traced(x, norm, activation)
    slope = _slope(activation)
    instance, group = type(norm) in INSTANCE_NORMS, _process_group(norm)
    values = x[0, 0].numel() if instance else x[:, 0].numel()
    if slope is None or type(norm) not in (*BATCH_NORMS, *INSTANCE_NORMS) or (values == 1 and group is None):
        return activation(norm(x))
    if norm.track_running_stats and (instance or not norm.training):
        return activation(norm(x))
    mean, variance = statistics(x, instance=instance)
    count: int | Tensor = values
    if group is not None:
        mean, variance, count = combined_statistics(mean, variance, values, group)
    if not instance and norm.track_running_stats:
        _update_running_statistics(norm, mean, variance, count)
    learned = [] if norm.weight is None else [norm.weight, norm.bias]
    learned += [slope] if isinstance(slope, Tensor) else []
    producer = NormActivation(1, norm.weight is not None, None if isinstance(slope, Tensor) else slope, group)
    return LazyMap(producer, (x, mean, (variance + norm.eps).rsqrt(), *learned))


def _traced(x: Tensor, norm: Any, activation: nn.Module) -> TracedMap:
    """For a compiler. A BatchNorm leaves its running statistics alone, as the map may be computed for several operations."""
    if type(norm) not in BATCH_NORMS or not (norm.training and norm.track_running_stats):
        return TracedMap(lambda x: activation(norm(x)), (x,))
    with torch.no_grad():
        variance, mean = torch.var_mean(at_least_single(x), [0, *range(2, x.dim())], correction=0)
        _update_running_statistics(norm, mean, variance, x[:, 0].numel())

    def compute(x: Tensor) -> Tensor:
        return activation(functional.batch_norm(x, None, None, norm.weight, norm.bias, training=True, eps=norm.eps))

    return TracedMap(compute, (x,))


def _process_group(norm: Any) -> Any:
    """The processes over which a norm in training takes its statistics, None for this one alone."""
    if type(norm) is not nn.SyncBatchNorm or not norm.training or not is_distributed(norm.process_group):
        return None
    return norm.process_group or distributed.group.WORLD


@torch.no_grad()
def statistics(x: Tensor, *, instance: bool) -> tuple[Tensor, Tensor]:
    """Mean and variance in float32 at least: per channel ``(C,)``, or per sample and channel ``(N, C)``."""
    count = x[0, 0].numel() * (1 if instance else len(x))
    dtype = torch.promote_types(x.dtype, torch.float32)
    if count > 1 and not is_eager_cpu(x):
        return _statistics_by_batch_norm(x, count, dtype, instance)
    axes = [0, *range(2, x.dim())][instance:]
    mean: Any = sum(take(x, chunk).sum(axes, dtype=dtype) for chunk in chunks(x)) / count
    center = broadcast(mean, x)
    variance: Any = sum((take(x, chunk) - center).square_().sum(axes) for chunk in chunks(x)) / count
    return mean, variance


def _statistics_by_batch_norm(x: Tensor, count: int, dtype: torch.dtype, instance: bool) -> tuple[Tensor, Tensor]:
    """By torch's kernel, which reads the map twice and writes it once, and needs no copy in float32.

    The sums above move three times as much memory, which is what limits a GPU.
    """
    channels = x.reshape(1, -1, *x.shape[2:]) if instance else x
    mean, variance = x.new_zeros(2, channels.shape[1], dtype=dtype)
    # As running statistics with a momentum of one; the variance among them is the unbiased one.
    torch.native_batch_norm(channels, None, None, mean, variance, True, 1.0, 0.0)
    variance *= (count - 1) / count
    return (mean.view(x.shape[:2]), variance.view(x.shape[:2])) if instance else (mean, variance)


@torch.no_grad()
def _update_running_statistics(norm: Any, mean: Tensor, variance: Tensor, count: int | Tensor) -> None:
    norm.num_batches_tracked.add_(1)
    momentum = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
    norm.running_var.lerp_((variance * (count / (count - 1))).to(norm.running_var.dtype), momentum)


def _slope(activation: Any) -> float | Tensor | None:
    """The factor below zero, or None for an activation that isn't linear there."""
    if type(activation) is nn.PReLU:
        return activation.weight
    if type(activation) is nn.LeakyReLU:
        return float(activation.negative_slope)
    return 0.0 if type(activation) is nn.ReLU else None


class _Arguments(NamedTuple):
    """The tensors of the producer below, by their role."""

    maps: Tensors
    means: Tensors
    rstds: Tensors
    weight: Tensor | None
    bias: Tensor | None
    slope: Tensor | None


class NormActivation:
    """The producer of a sum of maps, each normalised with its own statistics, then weight, bias and activation.

    Its tensors are the maps; mean and reciprocal standard deviation (rstd) of each, one per channel or per sample and channel;
    weight and bias, if it is affine; and the slope below zero, if that is learned. The statistics are functions of the maps,
    and the gradients of the maps take this into account.

    Args:
        count: number of maps.
        affine: whether there are weight and bias.
        slope: the slope below zero, None if it is learned.
        group: of processes, if the statistics are over the batches of all of them.
    """

    def __init__(self, count: int, affine: bool, slope: float | None, group: Any = None) -> None:
        self.count = count
        self.affine = affine
        self.slope = slope
        self.group = group

    def compute(self, tensors: Tensors, chunk: slice) -> Tensor:
        arguments = self._arguments(tensors)
        y = self._normalised(arguments, chunk)
        if arguments.slope is not None:
            return functional.prelu(y, arguments.slope.to(y.dtype))
        return functional.leaky_relu_(y, self.slope)  # type: ignore[arg-type]

    def backward(
        self, tensors: Tensors, needs_grad: Sequence[bool], grad_output: GradientOf, reuse: Tensor | None
    ) -> Gradients:
        arguments = self._arguments(tensors)
        first = arguments.maps[0]
        instance = arguments.means[0].dim() == 2
        axes = [0, *range(2, first.dim())][instance:]
        indices = range(self.count)
        grad_maps = [empty_like(x, reuse if index == 0 else None) for index, x in enumerate(arguments.maps)]
        # Sums over the gradient behind the norm, and over its product with the centered map, per set of statistics.
        sums: Any = 0
        products: list[Any] = [0 for _ in indices]
        grad_slope: Any = 0
        for chunk in chunks(first):
            grad_chunk, below = self._grad_of_normalised(arguments, chunk, grad_output(chunk))
            sums = sums + grad_chunk.sum(axes, dtype=arguments.means[0].dtype)
            for index in indices:
                centered = take(arguments.maps[index], chunk) - broadcast(arguments.means[index], first)
                products[index] = products[index] + centered.mul_(grad_chunk).sum(axes)
            if below is not None:
                grad_slope = grad_slope + below.sum([0, *range(2, first.dim())])
            take(grad_maps[0], chunk).copy_(grad_chunk)
        values = first[0, 0].numel() * (1 if instance else len(first))
        totals = torch.stack((sums, *products))
        averages = totals / values if self.group is None else averages_of_sums(totals, values, self.group)[0]
        coefficients = [self._coefficients(arguments, index, averages[0], averages[1 + index]) for index in indices]
        for chunk in chunks(first):
            grad_chunk = take(grad_maps[0], chunk)
            for index in reversed(indices):  # until its turn, the first map's gradient holds the one behind the norm
                slope, constant, scale = (broadcast(values, first) for values in coefficients[index])
                grad_map = torch.empty_like(grad_chunk, dtype=constant.dtype)
                torch.addcmul(constant, take(arguments.maps[index], chunk), slope, out=grad_map)
                torch.addcmul(grad_map, grad_chunk, scale, out=take(grad_maps[index], chunk))
        grads: Gradients = [*grad_maps, *(None for _ in range(2 * self.count))]
        if self.affine:
            grad_weight, dtype = products[0] * arguments.rstds[0], arguments.weight.dtype  # type: ignore[union-attr]
            grads += [(grad.sum(0) if instance else grad).to(dtype) for grad in (grad_weight, sums)]
        if arguments.slope is not None:
            grad_slope = grad_slope.sum(0, keepdim=True) if arguments.slope.numel() == 1 else grad_slope
            grads.append(grad_slope.to(arguments.slope.dtype))
        return [grad if need else None for grad, need in zip(grads, needs_grad, strict=True)]

    def _arguments(self, tensors: Tensors) -> _Arguments:
        maps, others = tensors[: self.count], tensors[self.count :]
        means, rstds = others[: 2 * self.count : 2], others[1 : 2 * self.count : 2]
        learned = iter(others[2 * self.count :])
        weight, bias = (next(learned), next(learned)) if self.affine else (None, None)
        return _Arguments(maps, means, rstds, weight, bias, next(learned, None))

    def _normalised(self, arguments: _Arguments, chunk: slice) -> Tensor:
        """The sum before the activation, in the precision of the maps."""
        y: Any = 0 if arguments.bias is None else arguments.bias
        scales = list(self._scales(arguments))
        for mean, scale in zip(arguments.means, scales, strict=True):
            y = y - mean * scale
        y = broadcast(y, arguments.maps[0])
        dtypes = [y.dtype] * (self.count - 1) + [arguments.maps[0].dtype]
        for x, scale, dtype in zip(arguments.maps, scales, dtypes, strict=True):
            part = take(x, chunk)
            # Into a tensor of the right type: autocast would first copy the map in float32.
            y = torch.addcmul(y, part, broadcast(scale, x), out=torch.empty_like(part, dtype=dtype))
        return y

    def _scales(self, arguments: _Arguments) -> Iterator[Tensor]:
        for rstd in arguments.rstds:
            yield rstd if arguments.weight is None else rstd * arguments.weight

    def _grad_of_normalised(self, arguments: _Arguments, chunk: slice, grad_output: Tensor) -> tuple[Tensor, Tensor | None]:
        """The gradient before the activation, and for a learned slope its gradient per position."""
        y = self._normalised(arguments, chunk)
        if arguments.slope is None:
            return torch.ops.aten.leaky_relu_backward(grad_output, y, self.slope, False), None
        slope = broadcast(arguments.slope.to(y.dtype), y)
        if not is_eager_cpu(y):
            return torch.ops.aten._prelu_kernel_backward(grad_output, y, slope)
        # several times faster on a CPU than torch's own gradient of PReLU
        above = torch.ops.aten.threshold_backward(grad_output, y, 0)
        below = grad_output - above
        above.addcmul_(below, slope)
        return above, below.mul_(y)

    def _coefficients(self, arguments: _Arguments, index: int, mean: Tensor, product: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Slope, constant and scale: a map's gradient is slope * map + constant + scale * gradient behind the norm."""
        rstd = arguments.rstds[index]
        scale = list(self._scales(arguments))[index]
        slope = -scale * rstd**2 * product
        return slope, -scale * mean - slope * arguments.means[index], scale

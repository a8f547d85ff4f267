"""Statistics over the batches of all processes, for distributed training."""

from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd.function import once_differentiable


def is_distributed(group: Any = None) -> bool:
    """Whether this process trains together with others, of a group or of all."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size(group) > 1


def average_over_processes(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The average over all values of all processes, of which x is that over this process's, and the number of the values.

    It is differentiable, takes one all_reduce in each direction, and outside of distributed training gives x itself.

    Args:
        x: of any shape.
        count: how many values x is an average of, which may differ between the processes.
    """
    if is_distributed():
        return _average(x, count)
    return x, x.new_full((), count)


@torch.compiler.disable  # no compiler traces the collective, as it traces none of SyncBatchNorm's
def _average(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    return _Average.apply(x, count)


class _Average(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, count: int) -> tuple[Tensor, Tensor]:
        average, total = averages_of_sums(x * count, count, distributed.group.WORLD)
        ctx.save_for_backward(count / total)
        ctx.mark_non_differentiable(total)
        return average, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor, _: Tensor) -> tuple[Tensor, None]:
        (share,) = ctx.saved_tensors
        grad = grad_output.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(grad)
        return grad * share, None


def averages_of_sums(sums: Tensor, count: int, group: Any) -> tuple[Tensor, Tensor]:
    """Sums over the values of each process as averages over those of all, and the number of all values; not differentiable.

    Args:
        sums: of any shape.
        count: how many values this process has summed.
        group: the processes.
    """
    total = torch.cat((sums.flatten(), sums.new_full((1,), count)))
    distributed.all_reduce(total, group=group)
    return (total[:-1] / total[-1]).view_as(sums), total[-1]


def combined_statistics(mean: Tensor, variance: Tensor, count: int, group: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance over the values of all processes, and their number; not differentiable.

    The processes' means are subtracted from their common mean before they are squared, so that no precision is lost.

    Args:
        mean: over the values of this process, ``(C,)``.
        variance: over the values of this process, ``(C,)``.
        count: how many values this process has.
        group: the processes.
    """
    own = torch.cat((mean, variance, mean.new_full((1,), count)))
    gathered = [torch.empty_like(own) for _ in range(distributed.get_world_size(group))]
    distributed.all_gather(gathered, own, group)
    means, variances, counts = torch.stack(gathered).split((len(mean), len(mean), 1), 1)
    weights = counts / counts.sum()
    mean = (weights * means).sum(0)
    return mean, (weights * (variances + (means - mean).square())).sum(0), counts.sum()

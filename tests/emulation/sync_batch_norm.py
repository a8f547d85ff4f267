"""SyncBatchNorm on a CPU: what torch has kernels for on GPUs alone, in plain operations."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@contextmanager
def sync_batch_norm_on_cpu() -> Iterator[None]:
    """Inside, SyncBatchNorm and DistributedDataParallel take CPU tensors, and refuse what the CUDA kernels refuse."""
    forward, code = nn.SyncBatchNorm.forward, nn.SyncBatchNorm.forward.__code__
    devices = tuple("cpu" if constant == "cuda" else constant for constant in code.co_consts)
    assert devices != code.co_consts, f"SyncBatchNorm of torch {torch.__version__} checks the device in another way"
    refuses_cpu = mock.patch.object(DistributedDataParallel, "_passing_sync_batchnorm_handle")
    with torch.library._scoped_library("aten", "IMPL") as library, refuses_cpu:
        for name, kernel in KERNELS.items():
            library.impl(name, kernel, "CPU")
        forward.__code__ = code.replace(co_consts=devices)
        try:
            yield
        finally:
            forward.__code__ = code


def _single(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _axes(x: Tensor) -> list[int]:
    return [0, *range(2, x.dim())]


def _factor(values: Tensor, x: Tensor) -> Tensor:
    return values.view(-1, *(1 for _ in x.shape[2:]))


def batch_norm_stats(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(_single(x), _axes(x), correction=0)
    return mean, (variance + eps).rsqrt()


def batch_norm_gather_stats_with_counts(
    x: Tensor,
    means: Tensor,
    rstds: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    momentum: float,
    eps: float,
    counts: Tensor,
) -> tuple[Tensor, Tensor]:
    expected = x.dtype if running_mean is None else running_mean.dtype
    if counts.dtype != expected:  # the CUDA kernel reads the counts as values of this type
        raise RuntimeError(f"expected scalar type {expected} but found {counts.dtype}")
    count, weights = counts.sum(), (counts / counts.sum()).to(means.dtype).unsqueeze(1)
    mean = (weights * means).sum(0)
    variance = (weights * (rstds**-2 - eps + (means - mean) ** 2)).sum(0)
    if running_mean is not None and running_var is not None:
        running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        running_var.lerp_((variance * count / (count - 1)).to(running_var.dtype), momentum)
    return mean, (variance + eps).rsqrt()


def batch_norm_elemt(x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, rstd: Tensor, _: float) -> Tensor:
    scale = rstd if weight is None else rstd * weight
    y = (_single(x) - _factor(mean, x)) * _factor(scale, x)
    return (y if bias is None else y + _factor(bias, x)).to(x.dtype)


def batch_norm_backward_reduce(
    grad: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, *_: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    grad, x = _single(grad), _single(x)
    sums, products = grad.sum(_axes(x)), (grad * (x - _factor(mean, x))).sum(_axes(x))
    return sums, products, products * rstd, sums.clone()


def batch_norm_backward_elemt(
    grad: Tensor,
    x: Tensor,
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    sums: Tensor,
    products: Tensor,
    counts: Tensor,
) -> Tensor:
    count, scale = counts.sum(), rstd if weight is None else rstd * weight
    slope = _factor(products * rstd**2 / count, x) * (_single(x) - _factor(mean, x))
    return ((_single(grad) - _factor(sums / count, x) - slope) * _factor(scale, x)).to(grad.dtype)


KERNELS = {
    kernel.__name__: kernel
    for kernel in (
        batch_norm_stats,
        batch_norm_gather_stats_with_counts,
        batch_norm_elemt,
        batch_norm_backward_reduce,
        batch_norm_backward_elemt,
    )
}

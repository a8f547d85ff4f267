"""Layer normalisation of several groups of channels, all at once."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def grouped_layer_norm(x: Tensor, widths: Sequence[int], weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Layer norm over each group of channels, at each position by itself.

    On a processor torch's layer norm takes as long for a few channels as for many. Here means over the channels of a group are
    products with a small matrix, whatever the number of groups.

    Args:
        x: channels last, ``(..., sum(widths))``.
        widths: channels of each group.
        weight: one number per channel.
        bias: one number per channel.
        eps: added to the variance.
    """
    return _GroupedLayerNorm.apply(x, _means(tuple(widths), x.dtype), weight, bias, eps)


@lru_cache(maxsize=64)
def _means(widths: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """The matrix that puts in place of each channel the mean of its group."""
    with torch.inference_mode(False):
        return torch.block_diag(*(torch.full((width, width), 1 / width, dtype=dtype) for width in widths))


class _GroupedLayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, means: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        centred = torch.addmm(flat, flat, means, alpha=-1)
        inverse_deviation = (centred.square() @ means).add_(eps).rsqrt_()
        normalised = centred.mul_(inverse_deviation)
        ctx.save_for_backward(normalised, inverse_deviation, means, weight)
        return torch.addcmul(bias, normalised, weight).view(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        normalised, inverse_deviation, means, weight = ctx.saved_tensors
        shape, gradient = gradient.shape, gradient.reshape(normalised.shape)
        of_bias = gradient.sum(0)
        of_weight = (gradient * normalised).sum(0)
        of_normalised = gradient * weight
        slope = (of_normalised * normalised) @ means
        of_x = torch.addmm(of_normalised, of_normalised, means, alpha=-1)
        of_x.addcmul_(normalised, slope, value=-1).mul_(inverse_deviation)
        return of_x.view(shape), None, of_weight, of_bias, None

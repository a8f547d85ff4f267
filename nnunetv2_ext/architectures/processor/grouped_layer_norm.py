"""Layer normalisation of several groups of channels, all at once."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def grouped_layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Layer norm over the channels of each group, at each position by itself.

    On a processor torch's layer norm, which wants the channels of a position beside each other, takes as long for a few of
    them as for many. Here the positions lie beside each other, and few channels are little work.

    Args:
        x: ``(N, groups, channels, *spatial)``.
        weight: ``(groups, channels)``.
        bias: ``(groups, channels)``.
        eps: added to the variance.

    Shape:
        that of x.
    """
    return _GroupedLayerNorm.apply(x.flatten(3), weight.unsqueeze(-1), bias.unsqueeze(-1), eps).view(x.shape)


class _GroupedLayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        centred = x - x.mean(2, keepdim=True)
        inverse_deviation = centred.square().mean(2, keepdim=True).add_(eps).rsqrt_()
        normalised = centred.mul_(inverse_deviation)
        ctx.save_for_backward(normalised, inverse_deviation, weight)
        return torch.addcmul(bias, normalised, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        normalised, inverse_deviation, weight = ctx.saved_tensors
        gradient = gradient.contiguous()
        of_bias = gradient.sum((0, 3)).unsqueeze(-1)
        of_weight = (gradient * normalised).sum((0, 3)).unsqueeze(-1)
        of_normalised = gradient * weight
        slope = (of_normalised * normalised).mean(2, keepdim=True)
        of_x = of_normalised.sub_(of_normalised.mean(2, keepdim=True))
        return of_x.addcmul_(normalised, slope, value=-1).mul_(inverse_deviation), of_weight, of_bias, None

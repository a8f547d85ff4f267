"""Layer norm of several groups of channels in one function."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def grouped_layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Layer norm over the channels of each group, at each position by itself.

    On a CPU torch's layer norm, which needs channels last, takes as long for few channels as for many. Here the positions are
    contiguous, and few channels are little work.

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
        centered = x - x.mean(2, keepdim=True)
        rstd = centered.square().mean(2, keepdim=True).add_(eps).rsqrt_()
        normalised = centered.mul_(rstd)
        ctx.save_for_backward(normalised, rstd, weight)
        return torch.addcmul(bias, normalised, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        normalised, rstd, weight = ctx.saved_tensors
        grad_output = grad_output.contiguous()
        grad_bias = grad_output.sum((0, 3)).unsqueeze(-1)
        grad_weight = (grad_output * normalised).sum((0, 3)).unsqueeze(-1)
        grad_normalised = grad_output * weight
        slope = (grad_normalised * normalised).mean(2, keepdim=True)
        grad_x = grad_normalised.sub_(grad_normalised.mean(2, keepdim=True))
        return grad_x.addcmul_(normalised, slope, value=-1).mul_(rstd), grad_weight, grad_bias, None

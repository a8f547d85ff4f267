"""Layer norm and the convolution k1 behind it in one function."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def norm_pointwise(x: Tensor, weight: Tensor, bias: Tensor, eps: float, kernel: Tensor, shift: Tensor) -> Tensor:
    """Convolution k1 of a layer norm over the channels, at each position by itself.

    The product comes before the multiplication by rstd, which is then done for the channels of the output, which are fewer.

    Args:
        x: ``(N, in_channels, *spatial)``.
        weight: of the norm, ``(in_channels,)``.
        bias: of the norm, ``(in_channels,)``.
        eps: added to the variance.
        kernel: of the convolution, ``(out_channels, in_channels, *ones)``.
        shift: bias of the convolution, ``(out_channels,)``.

    Shape:
        ``(N, out_channels, *spatial)``.
    """
    y = _NormalisedProduct.apply(x.flatten(2), weight, bias, eps, kernel.flatten(1), shift)
    return y.unflatten(2, x.shape[2:])


class _NormalisedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, kernel: Tensor, shift: Tensor) -> Tensor:
        centered = x - x.mean(1, keepdim=True)
        rstd = centered.square().mean(1, keepdim=True).add_(eps).rsqrt_()
        scaled = kernel * weight
        product = torch.bmm(scaled.expand(len(x), -1, -1), centered)
        ctx.save_for_backward(centered, rstd, product, scaled, kernel, weight, bias)
        return torch.addcmul(torch.addmv(shift, kernel, bias).unsqueeze(1), product, rstd)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        centered, rstd, product, scaled, kernel, weight, bias = ctx.saved_tensors
        samples, channels = centered.shape[:2]
        grad_shift = grad_output.sum((0, 2))
        grad_product = grad_output * rstd
        slope = (grad_product * product).sum(1, keepdim=True).mul_(rstd.square()).div_(-channels)
        # subtracting the kernel's mean removes the mean from the gradient, as the norm removed it from x
        scaled = (scaled - scaled.mean(1, keepdim=True)).T
        grad_x = torch.bmm(scaled.expand(samples, -1, -1), grad_product).addcmul_(centered, slope)
        grad_scaled = torch.bmm(grad_product, centered.transpose(1, 2)).sum(0)
        grad_weight = (grad_scaled * kernel).sum(0)
        grad_kernel = torch.addr(grad_scaled.mul_(weight), grad_shift, bias)
        return grad_x, grad_weight, grad_shift @ kernel, None, grad_kernel, grad_shift

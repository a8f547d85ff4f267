"""Layer norm and the convolution k1 behind it, in one function."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def convolve_normalised(x: Tensor, weight: Tensor, bias: Tensor, eps: float, kernel: Tensor, shift: Tensor) -> Tensor:
    """Convolution k1 of a layer norm over the channels, at each position by itself.

    The product comes before the division by the deviation, so that what is done position by position is done for the channels
    of the output, which are fewer.

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
        centred = x - x.mean(1, keepdim=True)
        inverse_deviation = centred.square().mean(1, keepdim=True).add_(eps).rsqrt_()
        scaled = kernel * weight
        product = torch.bmm(scaled.expand(len(x), -1, -1), centred)
        ctx.save_for_backward(centred, inverse_deviation, product, scaled, kernel, weight, bias)
        return torch.addcmul(torch.addmv(shift, kernel, bias).unsqueeze(1), product, inverse_deviation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        centred, inverse_deviation, product, scaled, kernel, weight, bias = ctx.saved_tensors
        samples, channels = centred.shape[:2]
        of_shift = gradient.sum((0, 2))
        of_product = gradient * inverse_deviation
        slope = (of_product * product).sum(1, keepdim=True).mul_(inverse_deviation.square()).div_(-channels)
        # a kernel without its mean takes the mean out of the gradient, as the norm did out of x
        scaled = (scaled - scaled.mean(1, keepdim=True)).T
        of_x = torch.bmm(scaled.expand(samples, -1, -1), of_product).addcmul_(centred, slope)
        of_scaled = torch.bmm(of_product, centred.transpose(1, 2)).sum(0)
        of_weight = (of_scaled * kernel).sum(0)
        of_kernel = torch.addr(of_scaled.mul_(weight), of_shift, bias)
        return of_x, of_weight, of_shift @ kernel, None, of_kernel, of_shift

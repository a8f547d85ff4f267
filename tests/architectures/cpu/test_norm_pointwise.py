"""A layer norm and the convolution k1 behind it are what they are one after the other."""

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.blocks.layer_norm import ChannelLayerNorm
from nnunetv2_ext.architectures.cpu.norm_pointwise import norm_pointwise


def both(size: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[Tensor, nn.Module, nn.Module]:
    """An input, far from a mean of zero and with a position where all channels are equal, a norm and a convolution."""
    torch.manual_seed(0)
    norm, convolution = ChannelLayerNorm(5).to(dtype), getattr(nn, f"Conv{len(size)}d")(5, 3, 1).to(dtype)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    x = 3 + torch.randn(2, 5, *size, dtype=dtype)
    x.flatten(2)[:, :, 0] = 2
    return x, norm, convolution


def together(x: Tensor, norm: nn.Module, convolution: nn.Module) -> Tensor:
    return norm_pointwise(x, norm.weight, norm.bias, norm.eps, convolution.weight, convolution.bias)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("size", [(6, 4), (3, 4, 5), (1, 1, 1)])
def test_output_and_gradients(size, last) -> None:
    x, norm, convolution = both(size)
    x = (x.movedim(1, -1).contiguous().movedim(-1, 1) if last else x).requires_grad_()
    got, expected = together(x, norm, convolution), convolution(norm(x))
    torch.testing.assert_close(got, expected)
    tensors, gradient = [x, *norm.parameters(), *convolution.parameters()], torch.randn_like(expected)
    got, expected = (torch.autograd.grad(output, tensors, gradient) for output in (got, expected))
    torch.testing.assert_close(got, expected)


def test_single_precision_is_no_less_precise() -> None:
    x, norm, convolution = both((4, 5, 6), torch.float32)
    x = 1000 + x  # a difference of squares would lose all there is
    exact = convolution.double()(norm.double()(x.double()))
    got = together(x, norm.float(), convolution.float())
    torch.testing.assert_close(got.double(), exact, rtol=1e-3, atol=1e-3)

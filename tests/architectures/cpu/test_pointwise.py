"""A convolution as a product, and its gradients, are torch's; what is no product stays a convolution."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.cpu.layout import channels_last
from nnunetv2_ext.architectures.cpu.pointwise import convolution, convolution_backward, is_matmul

MODULES = {
    "k1": nn.Conv3d(5, 4, 1),
    "k1 in 2D": nn.Conv2d(5, 4, 1),
    "k1 without bias": nn.Conv3d(5, 4, 1, bias=False),
    "strided": nn.Conv3d(5, 4, 1, stride=2),
    "padded": nn.Conv3d(5, 4, 1, padding=1),
    "grouped": nn.Conv2d(5, 10, 1, groups=5),
    "k3": nn.Conv2d(5, 4, 3, padding=1),
    "transposed": nn.ConvTranspose3d(5, 4, 1),
    "transposed, grouped": nn.ConvTranspose2d(5, 10, 2, 2, groups=5),
}
PRODUCTS = ("k1", "k1 in 2D", "k1 without bias")


def case(name: str) -> tuple[Any, tuple[Any, ...], Tensor]:
    """The convolution, its geometry, and an input with the channels last."""
    torch.manual_seed(0)
    module = MODULES[name].double()
    transposed = isinstance(module, nn.modules.conv._ConvTransposeNd)
    geometry = (module.stride, module.padding, module.dilation, transposed, module.output_padding, module.groups)
    return module, geometry, channels_last(torch.randn(2, 5, *(4, 6, 8)[: module.weight.dim() - 2], dtype=torch.float64))


@pytest.mark.parametrize("name", MODULES)
def test_only_k1_with_the_channels_last_and_nothing_else_to_do_is_a_product(name) -> None:
    module, geometry, x = case(name)
    assert is_matmul(x, module.weight, geometry) == (name in PRODUCTS)
    assert not is_matmul(x.contiguous(), module.weight, geometry)
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_matmul(x, module.weight, geometry)


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("name", MODULES)
def test_output_and_gradients_are_those_of_torch(name, last) -> None:
    module, geometry, x = case(name)
    x = (x if last else x.contiguous()).requires_grad_()
    expected = module(x)
    gradient = torch.randn_like(expected)
    torch.testing.assert_close(convolution(x, module.weight, module.bias, geometry), expected)
    found = convolution_backward(gradient, x.detach(), module.weight.detach(), geometry, [True, True, True])
    tensors = [x, *module.parameters()]
    torch.testing.assert_close(found[: len(tensors)], torch.autograd.grad(expected, tensors, gradient))


@pytest.mark.parametrize("wanted", [[True, False, False], [False, True, False], [False, False, True]])
@pytest.mark.parametrize("name", ["k1", "k3"])
def test_what_is_not_wanted_is_none(name, wanted) -> None:
    module, geometry, x = case(name)
    gradient = torch.randn_like(module(x))
    found = convolution_backward(gradient, x, module.weight.detach(), geometry, wanted)
    assert [g is not None for g in found] == wanted

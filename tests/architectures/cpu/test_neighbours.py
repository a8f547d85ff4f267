"""A convolution of neighbours at once is the convolution."""

import pytest
import torch
from torch.nn import functional

from nnunetv2_ext.architectures.cpu.neighbours import convolve_neighbours


@pytest.mark.parametrize("neighbours", [2, 4])
@pytest.mark.parametrize("kernel", [(3,), (1,), (3, 3), (3, 7), (3, 3, 3), (1, 3, 5)])
def test_equals_a_convolution(kernel, neighbours) -> None:
    torch.manual_seed(0)
    size = (3, 5, 8)[3 - len(kernel) :]
    shapes = ((2, 3, *size), (4, 3, *kernel), (4,))
    x, weight, bias = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    got = convolve_neighbours(x, weight, bias, neighbours)
    expected = getattr(functional, f"conv{len(kernel)}d")(x, weight, bias, padding=[k // 2 for k in kernel])
    torch.testing.assert_close(got, expected)
    gradient = torch.randn_like(got)
    got, expected = (torch.autograd.grad(output, (x, weight, bias), gradient) for output in (got, expected))
    torch.testing.assert_close(got, expected)

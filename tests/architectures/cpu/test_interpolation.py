"""Interpolation by products, alone and with a convolution, is torch's."""

import pytest
import torch
from torch.nn import functional

from nnunetv2_ext.architectures.cpu import interpolation
from nnunetv2_ext.architectures.cpu.interpolation import convolve_interpolated, interpolate_by_matmul

SIZES = {
    "linear": ((5,), (9,)),
    "bilinear": ((4, 7), (8, 7)),
    "trilinear": ((3, 1, 6), (5, 4, 2)),
}


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("mode", SIZES)
def test_interpolation_and_its_gradient_are_those_of_torch(mode, align_corners) -> None:
    torch.manual_seed(0)
    size, wanted = SIZES[mode]
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    got = interpolate_by_matmul(x, wanted, align_corners=align_corners)
    expected = functional.interpolate(x, size=wanted, mode=mode, align_corners=align_corners)
    torch.testing.assert_close(got, expected)
    gradient = torch.randn_like(got)
    torch.testing.assert_close(torch.autograd.grad(got, x, gradient), torch.autograd.grad(expected, x, gradient))


def test_weights_made_in_inference_serve_a_training() -> None:
    interpolation._weights.cache_clear()
    with torch.inference_mode():
        interpolate_by_matmul(torch.randn(1, 1, 3, 3), (7, 5), align_corners=True)
    x = torch.randn(1, 1, 3, 3, requires_grad=True)
    interpolate_by_matmul(x, (7, 5), align_corners=True).sum().backward()
    assert x.grad is not None


def test_weights_are_on_the_cpu_whatever_the_default_device() -> None:
    interpolation._weights.cache_clear(), interpolation._shifted_weights.cache_clear()
    with torch.device("meta"):
        assert interpolation._shifted_weights((4,), (5,), (3,), torch.float32).device.type == "cpu"


@pytest.mark.parametrize("largest", [1, 2**10, 2**18])
@pytest.mark.parametrize(
    ("grid", "size", "kernel"),
    [((8,), (5,), (3,)), ((8, 6), (5, 12), (1, 3)), ((8, 4, 6), (3, 7, 9), (1, 3, 5)), ((1, 4, 6), (1, 4, 9), (3, 3, 1))],
)
def test_a_map_interpolated_and_convolved_at_once(grid, size, kernel, largest, monkeypatch) -> None:
    monkeypatch.setattr(interpolation, "LARGEST_MATRIX", largest)
    torch.manual_seed(0)
    shapes = ((1, 3, *grid), (3, 1, *kernel), (3,))
    x, weight, bias = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    mode = list(SIZES)[len(grid) - 1]
    convolution = getattr(functional, f"conv{len(grid)}d")
    interpolated = functional.interpolate(x, size=size, mode=mode, align_corners=True)
    expected = convolution(interpolated, weight, bias, padding=[k // 2 for k in kernel], groups=3)[0].flatten(1)
    got = convolve_interpolated(x, size, weight, bias)
    torch.testing.assert_close(got, expected)
    gradient = torch.randn_like(got)
    got, expected = (torch.autograd.grad(output, (x, weight, bias), gradient) for output in (got, expected))
    torch.testing.assert_close(got, expected)

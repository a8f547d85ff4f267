"""A depthwise convolution is torch's, whichever way it and its gradients are computed."""

from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from nnunetv2_ext.architectures.cpu import depthwise
from nnunetv2_ext.architectures.cpu.depthwise import depthwise_convolution

CASES = {
    "2D": ((9, 8), (3, 3), (1, 1)),
    "2D, beyond the map": ((4, 5), (3, 7), (5, 1)),
    "3D": ((5, 6, 7), (3, 5, 3), (1, 1, 1)),
    "dilated": ((5, 6, 8), (3, 3, 3), (2, 3, 2)),
    "dilated along some axes": ((5, 6, 8), (1, 3, 3), (1, 4, 5)),
    "beyond the map along some axes": ((3, 9, 2), (3, 3, 3), (5, 5, 5)),
    "beyond the map": ((3, 2, 5), (3, 3, 3), (7, 7, 7)),
}


def outcome(y: Tensor, tensors: list[Tensor]) -> list[Tensor]:
    weights = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).view(y.shape)
    return [y, *torch.autograd.grad((y * weights).sum(), tensors)]


@pytest.mark.parametrize("smallest", [0, 2**15])
@pytest.mark.parametrize("largest", [0, 2**14])
@pytest.mark.parametrize("channels", [3, 11])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_output_and_gradients_are_those_of_torch(case, last, channels, largest, smallest, monkeypatch) -> None:
    monkeypatch.setattr(depthwise, "SMALLEST_MAP", smallest)
    monkeypatch.setattr(depthwise, "LARGEST_KERNEL", largest)
    torch.manual_seed(0)
    size, kernel, dilation = CASES[case]
    x = torch.randn(2, channels, *size, dtype=torch.float64)
    x = (x.movedim(1, -1).contiguous().movedim(-1, 1) if last else x).requires_grad_()
    weight = torch.randn(channels, 1, *kernel, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(channels, dtype=torch.float64, requires_grad=True)
    padding = [step * (length // 2) for step, length in zip(dilation, kernel, strict=True)]
    convolve = getattr(torch.nn.functional, f"conv{len(size)}d")
    expected = convolve(x, weight, bias, padding=padding, dilation=dilation, groups=channels)
    tensors = [x, weight, bias]
    torch.testing.assert_close(outcome(depthwise_convolution(x, weight, bias, dilation), tensors), outcome(expected, tensors))


def test_a_gradient_that_nobody_asks_for_is_not_computed(monkeypatch) -> None:
    monkeypatch.setattr(depthwise, "SMALLEST_MAP", 0)
    convolved = Mock(side_effect=depthwise._convolved)  # once for the output, once for the map's gradient
    monkeypatch.setattr(depthwise, "_convolved", convolved)
    weight, bias = torch.randn(20, 1, 3, 3, 3, requires_grad=True), torch.randn(20)
    for needed in (False, True):
        convolved.reset_mock()
        x = torch.randn(2, 20, 4, 4, 4, requires_grad=needed)
        depthwise_convolution(x, weight, bias, (1, 2, 1)).sum().backward()
        assert convolved.call_count == 1 + needed

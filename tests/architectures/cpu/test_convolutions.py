"""Depthwise convolutions give, in each layout, what torch's own do, and keep the names of their parameters."""

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.operations import operations

LAYOUTS = {2: torch.channels_last, 3: torch.channels_last_3d}
PLAIN = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
SIZE = (5, 4, 6)


def results(convolution: nn.Module, x: Tensor) -> list[Tensor]:
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    output = convolution(x)
    weights = torch.cos(torch.arange(output.numel(), dtype=x.dtype)).view(output.shape)
    return [output, *torch.autograd.grad((output * weights).sum(), [x, *convolution.parameters()])]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    ("kernel", "dilation"), [((3,), None), ((3, 3), (2, 1)), ((3, 5), None), ((1, 3, 3), (1, 5, 5)), ((3, 3, 3), (2, 2, 7))]
)
def test_a_depthwise_convolution(kernel, dilation, last) -> None:
    torch.manual_seed(0)
    dimensions, dilations = len(kernel), dilation or (1,) * len(kernel)
    ours = operations(dimensions).depthwise(3, kernel, dilation).double()
    padding = tuple(d * (k // 2) for d, k in zip(dilations, kernel, strict=True))
    plain = PLAIN[dimensions](3, 3, kernel, padding=padding, dilation=dilations, groups=3).double()
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, *SIZE[:dimensions], dtype=torch.float64)
    x = x.contiguous(memory_format=LAYOUTS[dimensions]) if last and dimensions > 1 else x
    torch.testing.assert_close(results(ours, x), results(plain, x))

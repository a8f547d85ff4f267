"""Convolutions with little work per position, which a CPU does faster in another layout or another way."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_ext.architectures.cpu.depthwise import depthwise_convolution
from nnunetv2_ext.architectures.cpu.dispatch import is_eager_cpu
from nnunetv2_ext.architectures.cpu.layout import LANES
from nnunetv2_ext.architectures.cpu.neighbours import convolve_neighbours


class Depthwise:
    """A depthwise convolution with a bias that keeps the size.

    Args:
        channels: number of channels.
        kernel: odd, one number per axis.
        dilation: one number per axis, 1 by default.
    """

    def __init__(self: Any, channels: int, kernel: Sequence[int], dilation: Sequence[int] | None = None) -> None:
        dilation = tuple(dilation or [1] * len(kernel))
        padding = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
        arguments = {"padding": padding, "dilation": dilation, "groups": channels}
        super().__init__(channels, channels, tuple(kernel), **arguments)  # type: ignore[call-arg]

    def forward(self: Any, x: Tensor) -> Tensor:
        if x.dim() < 4 or not is_eager_cpu(x):
            return super().forward(x)  # type: ignore[misc]
        return depthwise_convolution(x, self.weight, self.bias, self.dilation)


class Narrow:
    """A convolution to few channels with a bias that keeps the size.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: odd, one number per axis.
    """

    def __init__(self: Any, in_channels: int, out_channels: int, kernel: Sequence[int]) -> None:
        padding = tuple(k // 2 for k in kernel)
        super().__init__(in_channels, out_channels, tuple(kernel), padding=padding)  # type: ignore[call-arg]

    def forward(self: Any, x: Tensor) -> Tensor:
        neighbours = LANES // max(self.in_channels, self.out_channels)
        plainly = is_eager_cpu(x) and torch.is_grad_enabled()  # the slow part is the gradient of the weight
        if neighbours < 2 or x.shape[-1] % neighbours or not plainly:
            return super().forward(x)  # type: ignore[misc]
        return convolve_neighbours(x, self.weight, self.bias, neighbours)


class Pointwise:
    """A convolution k1 with a bias.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
    """

    def __init__(self: Any, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)  # type: ignore[call-arg]

    def forward(self: Any, x: Tensor) -> Tensor:
        if not is_eager_cpu(x):
            return super().forward(x)  # type: ignore[misc]
        weight, rows = self.weight.flatten(1), x.movedim(1, -1)
        if rows.is_contiguous():
            return functional.linear(rows, weight, self.bias).movedim(-1, 1)
        product = torch.baddbmm(self.bias.unsqueeze(1), weight.expand(len(x), -1, -1), x.flatten(2))
        return product.unflatten(2, x.shape[2:])


class Depthwise1d(Depthwise, nn.Conv1d):
    """``Depthwise`` of a map with 1 spatial axis."""


class Depthwise2d(Depthwise, nn.Conv2d):
    """``Depthwise`` of a map with 2 spatial axes."""


class Depthwise3d(Depthwise, nn.Conv3d):
    """``Depthwise`` of a map with 3 spatial axes."""


class Narrow1d(Narrow, nn.Conv1d):
    """``Narrow`` of a map with 1 spatial axis."""


class Narrow2d(Narrow, nn.Conv2d):
    """``Narrow`` of a map with 2 spatial axes."""


class Narrow3d(Narrow, nn.Conv3d):
    """``Narrow`` of a map with 3 spatial axes."""


class Pointwise1d(Pointwise, nn.Conv1d):
    """``Pointwise`` of a map with 1 spatial axis."""


class Pointwise2d(Pointwise, nn.Conv2d):
    """``Pointwise`` of a map with 2 spatial axes."""


class Pointwise3d(Pointwise, nn.Conv3d):
    """``Pointwise`` of a map with 3 spatial axes."""

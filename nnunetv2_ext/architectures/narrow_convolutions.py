"""Convolutions with little work per position, depthwise and k1, which a processor does faster in another layout or way."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_ext.architectures.processor import channels_last, runs_plainly_on_a_processor


class Depthwise:
    """A convolution of each channel by itself, with a bias, that keeps the size.

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
        return super().forward(channels_last(x) if x.dim() > 3 else x)  # type: ignore[misc]


class Pointwise:
    """A convolution k1 with a bias.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
    """

    def __init__(self: Any, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)  # type: ignore[call-arg]

    def forward(self: Any, x: Tensor) -> Tensor:
        if not runs_plainly_on_a_processor(x):
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


class Pointwise1d(Pointwise, nn.Conv1d):
    """``Pointwise`` of a map with 1 spatial axis."""


class Pointwise2d(Pointwise, nn.Conv2d):
    """``Pointwise`` of a map with 2 spatial axes."""


class Pointwise3d(Pointwise, nn.Conv3d):
    """``Pointwise`` of a map with 3 spatial axes."""

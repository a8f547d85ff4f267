"""Depthwise convolutions as modules, which take the fast path of ``depthwise``."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from nnunetv2_ext.architectures.cpu.depthwise import depthwise_convolution
from nnunetv2_ext.architectures.cpu.dispatch import is_eager_cpu


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


class Depthwise1d(Depthwise, nn.Conv1d):
    """``Depthwise`` of a map with 1 spatial axis."""


class Depthwise2d(Depthwise, nn.Conv2d):
    """``Depthwise`` of a map with 2 spatial axes."""


class Depthwise3d(Depthwise, nn.Conv3d):
    """``Depthwise`` of a map with 3 spatial axes."""

"""The memory layout of a feature map."""

from typing import Any

import torch
from torch import Tensor

from nnunetv2_ext.architectures.cpu.dispatch import is_eager_cpu

LANES = 16
"""values per vector instruction; convolutions to fewer channels leave some of them idle"""


def channels_last(x: Tensor, *, restore: bool = True) -> Tensor:
    """Channels last, in which pooling and convolutions to few channels are several times as fast.

    Args:
        x: a map.
        restore: whether its gradient comes back in the layout of x; wide convolutions are faster without.
    """
    layout = _channels_last_format(x)
    if restore or not is_eager_cpu(x):
        return _in_layout(x, layout)
    return x.contiguous(memory_format=layout)


def channels_first(x: Tensor) -> Tensor:
    """Channels first (torch's contiguous format), in which norms over few channels and interpolation are faster."""
    return _in_layout(x, torch.contiguous_format)


def _channels_last_format(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.dim() == 4 else torch.channels_last_3d


def _in_layout(x: Tensor, layout: torch.memory_format) -> Tensor:
    if not is_eager_cpu(x):
        return x
    return _Layout.apply(x, layout) if x.requires_grad else x.contiguous(memory_format=layout)


class _Layout(torch.autograd.Function):
    """Brings a map into a layout and its gradient back into the map's own: operations that mix two layouts are slow."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layout: torch.memory_format) -> Tensor:
        last = _channels_last_format(x)
        ctx.layout = last if x.is_contiguous(memory_format=last) else torch.contiguous_format
        return x.view_as(x) if x.is_contiguous(memory_format=layout) else x.contiguous(memory_format=layout)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        return grad_output.contiguous(memory_format=ctx.layout), None

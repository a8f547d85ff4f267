"""How a map lies in memory, and when that is ours to choose."""

from typing import Any

import torch
from torch import Tensor

LANES = 16
"""values that a processor works on at once; convolutions to fewer channels leave some of them idle"""


def runs_plainly_on_a_processor(x: Tensor) -> bool:
    """Whether operations on x are carried out one by one, on a processor, in the precision they are written in."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu")


def channels_last(x: Tensor, *, restore: bool = True) -> Tensor:
    """The channels of a position beside each other, where pooling and narrow convolutions are then several times as fast.

    Args:
        x: a map.
        restore: whether its gradient comes back in the layout that x has; wide convolutions are faster without.
    """
    layout = _channels_last_format(x)
    if restore or not runs_plainly_on_a_processor(x):
        return _in_layout(x, layout)
    return x.contiguous(memory_format=layout)


def channels_first(x: Tensor) -> Tensor:
    """The positions of a channel beside each other, where norms over few channels and interpolation are faster."""
    return _in_layout(x, torch.contiguous_format)


def _channels_last_format(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.dim() == 4 else torch.channels_last_3d


def _in_layout(x: Tensor, layout: torch.memory_format) -> Tensor:
    if not runs_plainly_on_a_processor(x):
        return x
    return _Layout.apply(x, layout) if x.requires_grad else x.contiguous(memory_format=layout)


class _Layout(torch.autograd.Function):
    """Brings a map into a layout, and its gradient back into that of the map: operations on two layouts at once are slow."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layout: torch.memory_format) -> Tensor:
        last = _channels_last_format(x)
        ctx.layout = last if x.is_contiguous(memory_format=last) else torch.contiguous_format
        return x.view_as(x) if x.is_contiguous(memory_format=layout) else x.contiguous(memory_format=layout)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient.contiguous(memory_format=ctx.layout), None

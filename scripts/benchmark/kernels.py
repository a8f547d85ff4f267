"""Single operations of GAB at full resolution, by layout: a GPU has kernels of very different speed for the same operation."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_ext.architectures.blocks.gab import DILATIONS
from scripts.benchmark.steps import Action

CHANNELS = 17
"""of a group of GAB, for a skip of 32 channels"""
LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last_3d}
ROWS = (16, CHANNELS, 4 * CHANNELS)


def kernels(device: torch.device, patch: tuple[int, ...], batch: int) -> Iterator[tuple[dict[str, Any], Action]]:
    """A forward and a backward of each, with the row of its table."""
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    kernel = torch.randn(CHANNELS, 1, 3, 3, 3, device=device, dtype=dtype, requires_grad=True)
    maps = torch.randn(batch, CHANNELS, *patch, device=device, dtype=dtype)
    for layout, memory_format in LAYOUTS.items():
        x = maps.clone(memory_format=memory_format).requires_grad_()
        for dilation in DILATIONS:
            convolve = partial(functional.conv3d, weight=kernel, padding=dilation, dilation=dilation, groups=CHANNELS)
            yield {"kernel": f"depthwise, dilation {dilation}", "layout": layout}, partial(_forward_and_backward, convolve, x)
    for channels in ROWS:
        rows = torch.randn(batch, *patch, channels, device=device, dtype=dtype, requires_grad=True)
        weight, bias = (torch.randn(channels, device=device, dtype=dtype, requires_grad=True) for _ in range(2))
        normalise = partial(functional.layer_norm, normalized_shape=(channels,), weight=weight, bias=bias)
        yield {"kernel": f"layer norm, {channels} channels", "layout": "rows"}, partial(_forward_and_backward, normalise, rows)


def _forward_and_backward(operation: Any, x: Tensor) -> None:
    y = operation(x)
    y.backward(torch.ones_like(y))

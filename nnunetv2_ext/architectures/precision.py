"""Mixed precision: what half precision can't hold, and autocast inside our own autograd functions."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nnunetv2_ext.memory.autocast import autocast_device


def without_autocast(device: torch.device) -> AbstractContextManager[None]:
    """A context in which autocast leaves types alone."""
    return torch.autocast(autocast_device(device), enabled=False)


def at_least_single(x: Tensor) -> Tensor:
    """``x`` in single precision if it was in half, else as it is, since double must stay double."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def norm_in_input_dtype(norm: Callable[..., Tensor], x: Tensor, shape: Any, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """``functional.layer_norm`` or ``functional.group_norm`` of x in the dtype of x.

    Autocast would convert x to float32, have the backward keep that copy, and give out float32, which all that follows takes
    along. The kernels compute in float32 inside whatever the dtype, so it would cost memory and gain nothing.

    Args:
        norm: the function.
        x: the feature map.
        shape: second argument of the function, the normalised shape or the number of groups.
        weight: of the norm.
        bias: of the norm.
        eps: added to the variance.
    """
    with without_autocast(x.device):
        return norm(x, shape, weight.to(x.dtype), bias.to(x.dtype), eps)


def autocast_type(x: Tensor) -> torch.dtype:
    """What autocast would have a convolution of x compute in."""
    device = autocast_device(x.device)
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device) or x.dtype == torch.float64:
        return x.dtype
    return torch.get_autocast_dtype(device)


def restored_autocast(x: Tensor) -> Callable[[], AbstractContextManager[Any]]:
    """What brings back, in the backward, the mixed precision of the forward."""
    device = autocast_device(x.device)
    if not torch.amp.is_autocast_available(device):
        return nullcontext
    dtype, enabled = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
    return partial(torch.autocast, device, dtype=dtype, enabled=enabled)

"""Full precision inside mixed precision, for what half precision can't hold."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def without_autocast(device: torch.device) -> AbstractContextManager[None]:
    """A context in which autocast leaves types alone; nothing to do on the meta device, which has no autocast."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def at_least_single(x: Tensor) -> Tensor:
    """``x`` in single precision if it was in half, else as it is, since double must stay double."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x

"""Whether the fast paths of this folder are taken: the one place that decides."""

import torch
from torch import Tensor


def is_eager_cpu(x: Tensor) -> bool:
    """Whether operations on x run one by one on a CPU, in the precision they are written in.

    A GPU has good kernels for all of them, a compiler writes its own, and mixed precision has rules of its own, so all three
    get the plain operations.
    """
    return x.device.type == "cpu" and not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu")

"""Decides whether the fast paths of this folder are taken."""

import torch
from torch import Tensor
from torch._guards import detect_fake_mode

from nnunetv2_ext.memory.gpu_paths import gpu_paths_taken


def is_eager_cpu(x: Tensor) -> bool:
    """Whether operations on x run one by one on a CPU, in the precision they are written in.

    A GPU has good kernels for all of them, a compiler writes its own, and mixed precision has rules of its own, so all three
    get the plain operations. So do torch.jit.trace, which can't record all of the fast ones, fake tensors, which have no values
    to cache, and a count of what a GPU would keep, also when it is made with CPU tensors.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.is_autocast_enabled("cpu"):
        return False
    return x.device.type == "cpu" and not gpu_paths_taken() and detect_fake_mode(x) is None

"""The operations of a GPU, on the CPU."""

import torch

from nnunetv2_ext.architectures.cpu.dispatch import is_eager_cpu
from nnunetv2_ext.memory.gpu_paths import gpu_paths


def test_the_fast_paths_of_the_cpu_are_left_alone_meanwhile() -> None:
    x = torch.zeros(1)
    assert is_eager_cpu(x)
    with gpu_paths():
        assert not is_eager_cpu(x)
    assert is_eager_cpu(x)

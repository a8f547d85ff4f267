"""The memory of a training step, counted without running it."""

import gc
import weakref
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import accumulate
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nnunetv2_ext.memory.autocast import cuda_autocast_rules, half_autocast
from nnunetv2_ext.memory.gpu_paths import gpu_paths
from nnunetv2_ext.memory.meta_cache import on_meta

Precision = Literal["autocast", "float32"]
"""as nnU-Net trains on a GPU, in float16 autocast; or in float32, as it trains on a CPU"""
PRECISIONS: dict[Precision, str] = {"autocast": "float16 autocast", "float32": "float32"}
"""what they are called where people read"""


class StepMemory(NamedTuple):
    """Bytes of a training step; parameters, buffers, input and optimizer are not counted."""

    kept: int
    """what the forward keeps for the backward"""
    peak: int
    """the most that is alive at any time in forward and backward"""
    activations: int
    """the most that is alive beside the gradients of the parameters, which is what grows with patch and batch"""


class LiveBytes(TorchDispatchMode):
    """Follows the storages that operations create until they are freed, so that the count knows no allocator."""

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self._numbers: dict[int, int] = {}
        self._changes: list[tuple[int, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = on_meta(func, args, kwargs or {})
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._follow(tensor.untyped_storage())
        return out

    def peak(self, without: Iterable[Tensor] = ()) -> int:
        """The most bytes that were alive at any time, those of some tensors that still are not counted."""
        dropped = {self._numbers.get(tensor.untyped_storage()._cdata) for tensor in without}
        live = accumulate(size for number, size in self._changes if number not in dropped)
        return max(live, default=0)

    def _follow(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._numbers:
            number = self._numbers[key] = len(self._changes)
            self._change(number, storage.nbytes())
            weakref.finalize(storage, self._freed, key, storage.nbytes())

    def _freed(self, key: int, size: int) -> None:
        self._change(self._numbers.pop(key), -size)

    def _change(self, number: int, size: int) -> None:
        self.live += size
        self._changes.append((number, size))


def step_memory(network: nn.Module, *inputs: Tensor, precision: Precision = "autocast") -> StepMemory:
    """Counts the bytes of one forward and backward in training mode, with the operations that a GPU would carry out.

    On the ``meta`` device nothing is computed, so a step of any size is counted within seconds and without its memory. On the
    CPU the step is really computed, with the same operations and types.

    Args:
        network: a network, not compiled.
        inputs: what its forward takes, on the same device, the CPU or ``meta``.
        precision: ``"autocast"``, float16 by CUDA's rules, or ``"float32"``.
    """
    network.train()
    network.zero_grad(set_to_none=True)
    gc.collect()
    half = precision == "autocast"
    with gpu_paths(), cuda_autocast_rules() if half else nullcontext(), LiveBytes() as memory:
        with half_autocast() if half else nullcontext():
            loss = torch.stack([output.float().square().mean() for output in _tensors(network(*inputs))]).sum()
        kept = memory.live
        loss.backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    counted = StepMemory(kept, memory.peak(), memory.peak(without=gradients))
    network.zero_grad(set_to_none=True)
    return counted


def _tensors(outputs: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor))

"""The memory of a training step, counted without running it."""

import gc
import weakref
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from nnunetv2_ext.architectures.network import Network


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
        out = func(*args, **(kwargs or {}))
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


def step_memory(network: nn.Module, *inputs: Tensor) -> StepMemory:
    """Counts the bytes of one forward and backward in training mode.

    On the ``meta`` device nothing is computed, so a step of any size is counted within a second or so and without its memory.
    """
    network.train()
    network.zero_grad(set_to_none=True)
    gc.collect()
    with LiveBytes() as memory:
        loss = torch.stack([output.square().mean() for output in _tensors(network(*inputs))]).sum()
        kept = memory.live
        loss.backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    counted = StepMemory(kept, memory.peak(), memory.peak(without=gradients))
    network.zero_grad(set_to_none=True)
    return counted


def feature_map_size(network: "Network", input_size: Sequence[int]) -> int:
    """What ``compute_conv_feature_map_size`` of the stock network would have to be for this network's memory.

    The host's planner knows how much memory a stock U-Net takes per element of its convolutions' outputs. We count the step of
    our network and of the stock network of the same plan, and scale the stock network's number by their ratio, so the planner's
    constants keep their meaning whatever a network keeps, recomputes or works on in chunks.

    Args:
        network: a network of ours, on any device.
        input_size: spatial size of the patch.
    """
    with torch.device("meta"):  # weights that nobody draws and that take no memory
        stock = PlainConvUNet(**network.plan.arguments)
    ours = deepcopy(network)
    patch = torch.zeros(1, network.plan.input_channels, *input_size, device="meta")
    counted = [step_memory(net.to("meta"), patch).activations for net in (ours, stock)]
    return round(int(stock.compute_conv_feature_map_size(list(input_size))) * counted[0] / counted[1])


def _tensors(outputs: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor))

"""How much memory the operations of a training step read and write, counted without a GPU.

On a GPU most operations but convolutions wait for memory, so this says what a step without a compiler costs there, as far as it
can be said without one.
"""

from collections.abc import Iterable
from math import prod
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nnunetv2_ext.memory.autocast import cuda_autocast_rules, half_autocast
from nnunetv2_ext.memory.gpu_paths import gpu_paths


class Traffic(NamedTuple):
    """What the operations of a step move; one that reads a tensor twice, as a norm does, is counted as if it did so once."""

    moved_bytes: int
    operations: int


def step_traffic(network: nn.Module, batch: Tensor) -> Traffic:
    """Counts a forward and a backward in float16 autocast with the operations of a GPU, not compiled.

    Args:
        network: on the same device as the batch, the CPU or ``meta``.
        batch: the input.
    """
    with gpu_paths(), cuda_autocast_rules(), _Counter() as counter:
        with half_autocast():
            outputs = network.train()(batch)
        # of squares, whose gradient is as large as the output; that of a sum would be one number
        sum(output.float().square().sum() for output in ([outputs] if isinstance(outputs, Tensor) else outputs)).backward()
    return Traffic(counter.moved, counter.operations)


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.moved, self.operations = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not _only_makes_a_tensor(func):
            read = [*args, *(value for name, value in (kwargs or {}).items() if name != "out")]
            self.moved += _bytes(read) + _bytes([out])
            self.operations += 1
        return out


def _only_makes_a_tensor(operation: Any) -> bool:
    """Whether it gives a view, or memory that nothing has been written to."""
    returned = [value.alias_info for value in operation._schema.returns]
    is_view = any(alias is not None and not alias.is_write for alias in returned)
    return is_view or "empty" in operation._schema.name


def _bytes(values: Iterable[Any]) -> int:
    """Of all tensors among them, what is broadcast once."""
    tensors = {id(x): x for x in tree_leaves(list(values)) if isinstance(x, Tensor)}.values()
    return sum(prod(n for n, step in zip(x.shape, x.stride(), strict=True) if step) * x.element_size() for x in tensors)

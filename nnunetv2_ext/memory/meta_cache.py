"""Operations on the ``meta`` device, each carried out once for the same shapes.

What torch does to find the shape of a result takes some hundred microseconds an operation, mostly in Python. A step repeats
the same operations many times: in every block of a kind, where activations are recomputed, and in every mode of recomputation.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

MOST_ENTRIES = 50_000
"""some tens of megabytes; the cache is emptied when it is full"""


class Layout(NamedTuple):
    """What decides how a tensor on the ``meta`` device behaves."""

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype


_results: dict[Any, tuple[Any, tuple[Layout | None, ...]] | None] = {}
"""by operation and arguments: the type of a sequence of outputs and their layouts; None where outputs can't be made from it"""


def on_meta(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``operation(*args, **kwargs)``, from the cache if all tensors are on ``meta`` and the result is new memory."""
    key = _key(operation, args, kwargs)
    if key is None:
        return operation(*args, **kwargs)
    if key not in _results:
        out = operation(*args, **kwargs)
        if len(_results) >= MOST_ENTRIES:
            _results.clear()
        _results[key] = _layouts(out, args, kwargs)
        return out
    cached = _results[key]
    if cached is None:
        return operation(*args, **kwargs)
    kind, layouts = cached
    made = [layout and torch.empty_strided(*layout[:2], dtype=layout.dtype, device="meta") for layout in layouts]
    return made[0] if kind is Tensor else kind(made)


def _key(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """None if the operation writes into its arguments or gives views of them, or works elsewhere or on what can't be hashed."""
    if any(argument.alias_info is not None for argument in (*operation._schema.arguments, *operation._schema.returns)):
        return None
    try:
        key = operation, _hashable(args), tuple((name, _hashable(value)) for name, value in kwargs.items())
        hash(key)
    except TypeError:
        return None
    return key


def _hashable(value: Any) -> Any:
    if isinstance(value, Tensor):
        if not value.is_meta:
            raise TypeError("not on the meta device")
        return Layout(value.shape, value.stride(), value.dtype)
    if isinstance(value, (list, tuple)):
        return tuple(map(_hashable, value))
    return type(value), value  # 1 and 1.0 are equal, but not to an operation


def _layouts(out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, tuple[Layout | None, ...]] | None:
    outputs = [out] if isinstance(out, Tensor) else out
    if not isinstance(outputs, (list, tuple)):
        return None
    inputs = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
    layouts: list[Layout | None] = []
    for x in outputs:
        if x is None:
            layouts.append(None)
        elif isinstance(x, Tensor) and _is_new(x) and x.untyped_storage()._cdata not in inputs:
            layouts.append(Layout(x.shape, x.stride(), x.dtype))
        else:
            return None
    return (Tensor if isinstance(out, Tensor) else type(out)), tuple(layouts)


def _is_new(x: Tensor) -> bool:
    """Whether the tensor is a whole storage by itself, as ``torch.empty_strided`` would make it."""
    if not x.is_meta or x.storage_offset():
        return False
    elements = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True)) if x.numel() else 0
    return bool(x.untyped_storage().nbytes() == elements * x.element_size())

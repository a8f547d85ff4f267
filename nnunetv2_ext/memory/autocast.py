"""CUDA's autocast rules without CUDA.

Under autocast an operation casts its inputs: convolutions and matrix products to float16, norms, softmax and interpolation to
float32. Each kind of device has lists of its own, and the ``meta`` device has none. Here the CPU's switch,
``torch.autocast("cpu", torch.float16)``, gets the lists of CUDA, read from the installed torch's own header, and works on
``meta`` tensors as well. So code that queries or restores autocast, such as ``torch.utils.checkpoint``, works unchanged.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.library import Library, fallthrough_kernel
from torch.utils._pytree import tree_leaves, tree_map

HEADER = Path(torch.__file__).parent / "include/ATen/autocast_mode.h"
KEY = "AutocastCPU"
SINGLE_ON_CPU = ("avg_pool3d",)
"""operations that have no kernel for half precision on a CPU"""

Operation = Callable[..., Any]
_copies: ContextVar[dict[tuple[Tensor, bool], Tensor] | None] = ContextVar("half_copies_of_weights", default=None)


@contextmanager
def cuda_autocast_rules() -> Iterator[None]:
    """A context in which autocast of the CPU follows CUDA's rules, for tensors on the CPU and on the ``meta`` device.

    It has to last as long as the backward, where what is recomputed is cast again. Only operations between
    ``torch.autocast("cpu", torch.float16)`` are cast, as ever. The rules are torch's for the whole process, so no other
    thread should use the CPU's autocast meanwhile; when the context ends, the CPU has its own rules again.
    """
    library = Library("aten", "IMPL")
    key = getattr(torch._C.DispatchKey, KEY)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of every kernel that is overridden
            for name, kernel in _kernels().items():
                library.impl(name, kernel, KEY)
        with torch._C._IncludeDispatchKeyGuard(key):
            yield
    finally:
        library._destroy()


@contextmanager
def half_autocast() -> Iterator[None]:
    """Mixed precision for a forward. As CUDA's, it casts a weight once and keeps the copy until the forward has ended."""
    token = _copies.set({})
    try:
        with torch.autocast("cpu", torch.float16):
            yield
    finally:
        _copies.reset(token)


def autocast_device(device: torch.device) -> str:
    """The kind of device whose autocast applies to tensors on a device: the ``meta`` device has the CPU's."""
    return "cpu" if device.type == "meta" else device.type


@cache
def _kernels() -> dict[str, Operation]:
    """By operation, as torch's dispatcher names it, what autocast puts in its place."""
    # What the CPU casts and CUDA leaves alone.
    registered = torch._C._dispatch_get_registrations_for_dispatch_key(KEY)  # other packages add operations of their own
    names = [name.removeprefix("aten::") for name in registered if name.startswith("aten::")]
    kernels: dict[str, Operation] = dict.fromkeys(names, fallthrough_kernel)
    for macro, rule in RULES.items():
        for name in _operations(macro):
            packet, _, overload = name.partition(".")
            operation = getattr(getattr(torch.ops.aten, packet, None), overload or "default", None)
            if operation is not None:  # the header of some versions lists operations that are gone
                kernels[name] = _outside_autocast(rule(operation))
    for name in SINGLE_ON_CPU:
        kernels[name] = _outside_autocast(_single_on_cpu(getattr(torch.ops.aten, name).default))
    kernels["norm.Scalar"] = _outside_autocast(_with_dtype(torch.ops.aten.norm.ScalarOpt_dtype))
    kernels["norm.ScalarOpt_dim"] = _outside_autocast(_with_dtype(torch.ops.aten.norm.ScalarOpt_dim_dtype))
    return kernels


def _operations(macro: str) -> list[str]:
    """The names in one of the header's lists; an entry ``_(sum, dim_IntList)`` is the overload ``sum.dim_IntList``."""
    body = re.search(rf"#define {macro}\(_\)((?:.*\\\n)*.*)", HEADER.read_text())  # lines that end in a backslash, and one more
    assert body is not None, f"{HEADER} has no list {macro}"
    return [".".join(part.strip() for part in entry.split(",")) for entry in re.findall(r"_\(([^)]*)\)", body[1])]


def _outside_autocast(operation: Operation) -> Operation:
    """What an operation calls in its turn isn't cast."""
    keys = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, KEY))

    def run(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(keys):
            return operation(*args, **kwargs)

    return run


def _in_half(operation: Operation) -> Operation:
    def call(*args: Any, **kwargs: Any) -> Any:
        dtype = torch.get_autocast_dtype("cpu")
        return operation(*_cast(args, dtype), **_cast(kwargs, dtype))

    return call


def _in_single(operation: Operation) -> Operation:
    return lambda *args, **kwargs: operation(*_cast(args, torch.float32), **_cast(kwargs, torch.float32))


def _with_dtype(operation: Operation) -> Operation:
    """An operation that reads half precision and writes float32, unless it is told what to write."""

    def call(x: Tensor, *args: Any, **kwargs: Any) -> Any:
        asked = any(isinstance(value, torch.dtype) for value in (*args, *kwargs.values()))
        if _is_cast(x) and not asked:
            kwargs["dtype"] = torch.float32
        return operation(x, *args, **kwargs)

    return call


def _in_widest(operation: Operation) -> Operation:
    """All inputs in half precision, but if one of them is in float32, all in float32."""

    def call(*args: Any, **kwargs: Any) -> Any:
        wide = any(x.dtype == torch.float32 for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor))
        dtype = torch.float32 if wide else torch.get_autocast_dtype("cpu")
        return operation(*_cast(args, dtype), **_cast(kwargs, dtype))

    return call


def _single_on_cpu(operation: Operation) -> Operation:
    """An operation that gives the type that it gets, computed in float32 if the tensor is really on the CPU."""

    def call(x: Tensor, *args: Any, **kwargs: Any) -> Any:
        if x.device.type != "cpu" or not _is_cast(x):
            return operation(x, *args, **kwargs)
        return operation(x.float(), *args, **kwargs).to(x.dtype)

    return call


RULES: dict[str, Callable[[Operation], Operation]] = {
    "AT_FORALL_LOWER_PRECISION_FP": _in_half,
    "AT_FORALL_FP32": _in_single,
    "AT_FORALL_FP32_SET_OPT_DTYPE": _with_dtype,
    "AT_FORALL_PROMOTE": _in_widest,
}


def _is_cast(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point() and x.dtype != torch.float64


def _cast(values: Any, dtype: torch.dtype) -> Any:
    return tree_map(lambda x: _cast_tensor(x, dtype) if _is_cast(x) else x, values)


def _cast_tensor(x: Tensor, dtype: torch.dtype) -> Tensor:
    copies = _copies.get()
    if copies is None or dtype == torch.float32 or x.dtype != torch.float32 or not (x.is_leaf and x.requires_grad):
        return x.to(dtype)
    key = x, torch.is_grad_enabled()
    if key not in copies:
        copies[key] = x.to(dtype)
    return copies[key]

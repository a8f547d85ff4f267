"""CUDA's rules of autocast for CPU tensors.

Autocast on a CPU has rules of its own: it runs interpolation in half precision, for instance, where a GPU runs it in single.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map

KEY = "AutocastCPU"
SINGLE_ON_CPU = {"avg_pool3d"}
"""operations that run in half precision on a GPU, but have no such kernel on a CPU"""
RULES = ("LOWER_PRECISION_FP", "FP32", "FP32_SET_OPT_DTYPE", "PROMOTE")

Operation = Callable[..., Any]


@contextmanager
def cuda_autocast_rules() -> Iterator[None]:
    """Inside, ``torch.autocast("cpu", ...)`` gives each operation the types that ``torch.autocast("cuda", ...)`` would.

    The lists of operations come from the header of the installed torch, so they are those of its version. The variants of
    ``norm`` that torch lists apart are left out, since nothing here calls them.
    """
    lists = _cuda_lists()
    with torch.library._scoped_library("aten", "IMPL") as library:
        for name in _operations_with_a_rule() - {name for names in lists.values() for name in names}:
            given = _given_type(_operation(name)) if name in SINGLE_ON_CPU else torch.library.fallthrough_kernel
            library.impl(name, given, KEY)
        for rule, wrap in (("FP32", _in_single), ("FP32_SET_OPT_DTYPE", _to_single), ("PROMOTE", _in_widest)):
            for name in lists[rule]:
                library.impl(name, wrap(_operation(name)), KEY)
        for name in lists["LOWER_PRECISION_FP"] - _operations_with_a_rule():
            library.impl(name, _in_half(_operation(name)), KEY)
        yield


def _cuda_lists() -> dict[str, set[str]]:
    """The operations under each of CUDA's rules, as ``name`` or ``name.overload``."""
    text = (Path(torch.__file__).parent / "include/ATen/autocast_mode.h").read_text()
    known = set(torch._C._dispatch_get_all_op_names())
    lists = {}
    for rule in RULES:
        body = re.search(rf"#define AT_FORALL_{rule}\(_\)(.*?)\n\n", text, re.DOTALL)
        assert body, f"torch {torch.__version__} lists its autocast rules in another way"
        names = {".".join(part.strip() for part in entry.split(",")) for entry in re.findall(r"_\(([^)]*)\)", body[1])}
        lists[rule] = {name for name in names if f"aten::{name}" in known}
    return lists


def _operations_with_a_rule() -> set[str]:
    names = (name for name in torch._C._dispatch_get_all_op_names() if name.startswith("aten::"))
    return {name.removeprefix("aten::") for name in names if torch._C._dispatch_has_kernel_for_dispatch_key(name, KEY)}


def _operation(name: str) -> Operation:
    operation: Any = torch.ops.aten
    for part in name.split(".") if "." in name else (name, "default"):
        operation = getattr(operation, part)

    def without_autocast(*arguments: Any, **keywords: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, KEY))):
            return operation(*arguments, **keywords)

    return without_autocast


def _eligible(x: Any) -> bool:
    return isinstance(x, torch.Tensor) and x.is_floating_point() and x.dtype != torch.float64


def _cast(arguments: Any, dtype: torch.dtype) -> Any:
    return tree_map(lambda x: x.to(dtype) if _eligible(x) else x, arguments)


def _in_half(operation: Operation) -> Operation:
    def rule(*arguments: Any, **keywords: Any) -> Any:
        dtype = torch.get_autocast_dtype("cpu")
        return operation(*_cast(arguments, dtype), **_cast(keywords, dtype))

    return rule


def _in_single(operation: Operation) -> Operation:
    return lambda *arguments, **keywords: operation(*_cast(arguments, torch.float32), **_cast(keywords, torch.float32))


def _given_type(operation: Operation) -> Operation:
    return lambda x, *arguments, **keywords: operation(_cast(x, torch.float32), *arguments, **keywords).to(x.dtype)


def _to_single(operation: Operation) -> Operation:
    """For operations with a ``dtype``: single precision out, unless the caller asks for another."""

    def rule(x: Any, *arguments: Any, **keywords: Any) -> Any:
        asked = any(isinstance(argument, torch.dtype) for argument in (*arguments, *keywords.values()))
        if _eligible(x) and not asked:
            keywords["dtype"] = torch.float32
        return operation(x, *arguments, **keywords)

    return rule


def _in_widest(operation: Operation) -> Operation:
    def rule(*arguments: Any, **keywords: Any) -> Any:
        single = any(x.dtype == torch.float32 for x in tree_leaves((arguments, keywords)) if _eligible(x))
        dtype = torch.float32 if single else torch.get_autocast_dtype("cpu")
        return operation(*_cast(arguments, dtype), **_cast(keywords, dtype))

    return rule

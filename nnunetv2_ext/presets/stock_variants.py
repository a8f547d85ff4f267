"""nnU-Net's own variants of its trainer, found by name in its files. Imports neither nnunetv2 nor torch."""

import importlib.util
import re
from functools import cache
from pathlib import Path

PACKAGE = "nnunetv2.training.nnUNetTrainer"
_CLASS = re.compile(r"^class nnUNetTrainer(\w+)\(", re.MULTILINE)


@cache
def stock_variants() -> dict[str, str]:
    """Of every class nnUNetTrainer<suffix> that the installed nnU-Net has: its suffix, and the dotted path of the class."""
    found: dict[str, str] = {}
    spec = importlib.util.find_spec(PACKAGE.split(".")[0])
    for location in spec.submodule_search_locations or () if spec else ():
        root = Path(location).parent
        for file in sorted(Path(root, *PACKAGE.split(".")).rglob("*.py")):
            module = ".".join(file.relative_to(root).with_suffix("").parts)
            for suffix in _CLASS.findall(file.read_text(encoding="utf-8", errors="replace")):
                found.setdefault(suffix, f"{module}.nnUNetTrainer{suffix}")
    return found

"""nnU-Net's variants, read from its files, are the classes that Python finds there."""

import importlib
import pkgutil

from nnunetv2_ext.presets.stock_variants import PACKAGE, stock_variants

PREFIX = "nnUNetTrainer"


def test_all_of_them_are_found():
    names, folder = set(), importlib.import_module(PACKAGE).__path__
    for module in pkgutil.walk_packages(folder, f"{PACKAGE}."):
        if not module.ispkg:
            members = vars(importlib.import_module(module.name)).items()
            names |= {name for name, value in members if isinstance(value, type) and value.__module__ == module.name}
    suffixes = {name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)}
    assert set(stock_variants()) == suffixes - {""}


def test_a_path_leads_to_its_class():
    for suffix, path in stock_variants().items():
        module, _, name = path.rpartition(".")
        assert getattr(importlib.import_module(module), name).__name__ == f"{PREFIX}{suffix}"

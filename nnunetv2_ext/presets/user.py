"""Presets of the user's: files in the folders of ``nnUNet_extPresets``, and packages with our entry point."""

import importlib
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from nnunetv2_ext import user_presets
from nnunetv2_ext.errors import PresetError
from nnunetv2_ext.paths import PRESET_FOLDERS, preset_folders
from nnunetv2_ext.presets.preset import Preset
from nnunetv2_ext.presets.stock_variants import stock_variants
from nnunetv2_ext.presets.suffixes import is_suffixes

ENTRY_POINTS = "nnunetv2_ext.presets"
IMPORT = re.compile(r"nnunetv2_ext\.presets|from nnunetv2_ext import .*\bpresets\b")


class Source(NamedTuple):
    """Where presets are: all that a module defines, or one of its attributes."""

    module: str
    described: str
    attribute: str = ""


def add_user_presets(table: dict[str, Preset]) -> list[str]:
    """Adds the user's presets to the table, and gives a sentence for each one that can't be added."""
    user_presets.__path__[:] = preset_folders()
    problems: list[str] = []
    for source in (*_files(problems), *_packages()):
        try:
            presets = _presets_of(source)
        except PresetError as error:
            problems.append(str(error))
            continue
        for preset in presets:
            if table.get(preset.name) is preset:  # from a file that this one imports
                continue
            if problem := _name_problem(preset, table):
                problems.append(problem)
            else:
                table[preset.name] = preset
    return problems


def _files(problems: list[str]) -> Iterator[Source]:
    """Every file in the folders that imports nnunetv2_ext.presets; the others are not even imported."""
    taken: dict[str, Path] = {}
    for folder in preset_folders():
        if not os.path.isdir(folder):  # Path's fails where one may not look
            problems.append(f"{PRESET_FOLDERS} names {folder}, which is no folder: correct the variable, or make the folder")
        for _, name, is_package in pkgutil.iter_modules([folder]):
            file = Path(folder, name, "__init__.py") if is_package else Path(folder, f"{name}.py")
            try:
                if not file.is_file() or not IMPORT.search(file.read_text(encoding="utf-8", errors="replace")):
                    continue
            except OSError as error:
                problems.append(f"{file} can't be read ({error.strerror}): check its permissions")
                continue
            if name in taken:
                problems.append(f"{file} is hidden by {taken[name]}, which has the same name: rename one of the two")
            else:
                taken[name] = file
                yield Source(f"{user_presets.__name__}.{name}", str(file))


def _packages() -> Iterator[Source]:
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        package = f"package {entry.dist.name}" if entry.dist else entry.value
        yield Source(entry.module, package, entry.attr)


def _presets_of(source: Source) -> list[Preset]:
    try:
        found: Any = importlib.import_module(source.module)
        for part in source.attribute.split(".") if source.attribute else ():
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # whatever a file of the user's raises
        reason = str(error) if isinstance(error, PresetError) else f"{type(error).__name__}: {error}"
        place = place_of(error, source.module) or source.described
        raise PresetError(f"{place}: no preset is taken from {source.described}, {reason}") from error
    values = vars(found).values() if isinstance(found, ModuleType) else [found]
    listed = [one for value in values for one in (value if isinstance(value, list | tuple) else [value])]
    presets = {id(one): one for one in listed if isinstance(one, Preset) and one.origin}
    if not presets:
        raise PresetError(f"{source.described}: has no preset; write PRESET = Preset(...) at the top level of the file")
    return list(presets.values())


def place_of(error: BaseException | None, module: str) -> str:
    """``file:line`` that an error comes from in the user's folders or in a module's package; empty if it passed neither."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    package = sys.modules.get(module.partition(".")[0])
    is_ours = module.startswith(__name__.partition(".")[0])
    folders = (*preset_folders(), *(() if is_ours else getattr(package, "__path__", ())))
    frames = traceback.extract_tb(error.__traceback__) if error else []
    return next((f"{one.filename}:{one.lineno}" for one in reversed(frames) if one.filename.startswith(folders)), "")


def _name_problem(preset: Preset, table: dict[str, Preset]) -> str:
    """Why nnU-Net or we would find another trainer under the preset's name; empty if neither does."""
    if preset.name in stock_variants():
        return f"{preset.origin}: nnU-Net has a trainer nnUNetTrainer{preset.name} of its own, rename the preset"
    for other in table.values():
        if other.name == preset.name:
            owner = other.origin or "nnunetv2-ext itself"
            return f"{preset.origin}: {owner} has a preset {preset.name}, too, and comes first; rename this one"
        shorter, longer = sorted((preset.name, other.name), key=len)
        if longer.startswith(shorter) and is_suffixes(longer[len(shorter) :]):
            return (
                f"{preset.origin}: nnUNetTrainer{longer} could mean preset {longer} or preset {shorter} with suffixes; rename "
                f"the preset {preset.name}"
            )
    return ""

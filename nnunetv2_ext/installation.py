"""Checks of the installation, each of which says in words what to do where something is wrong."""

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from textwrap import shorten
from typing import Literal, NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from nnunetv2_ext.errors import UnknownTrainerError
from nnunetv2_ext.paths import HOST_FOLDERS, PRESET_FOLDERS, SHIM, TRAINER_FOLDERS, names_our_folder, trainer_folders
from nnunetv2_ext.presets import PRESETS
from nnunetv2_ext.trainers.folders import all_folders, folders_before_ours, search
from nnunetv2_ext.trainers.names import all_names, parse

CHECKED = ("nnunetv2", "torch", "dynamic-network-architectures", "batchgenerators", "adan-pytorch", "timm")
"""packages whose version decides whether trainings run"""
STOCK_NAMES = ("nnUNetTrainerAdan", "nnUNetTrainerDiceLoss")
"""stock trainers whose names look like ours"""

State = Literal["ok", "warning", "wrong"]


class Check(NamedTuple):
    """What was looked at, what was found, and what to do about it."""

    name: str
    state: State
    found: str
    cure: str = ""
    """what to do, in words"""
    command: str = ""
    """or the line to paste into a shell that does it"""


REINSTALL = "install nnunetv2-ext again, as its docs/get-started.md says"


def checks() -> Iterator[Check]:
    """All checks, one after the other. What nnU-Net prints meanwhile is dropped."""
    yield from versions()
    yield shim()
    yield from folders()
    yield trainer_variable()
    yield from user_presets()
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            found = [look_up(), name_clashes(), *stock_trainers(), gpu()]
    except ImportError as error:
        found = [Check("nnU-Net", "wrong", f"can't be imported: {error}", cure=REINSTALL)]
    yield from found


def versions() -> Iterator[Check]:
    """Python and the packages we build on."""
    python = importlib.metadata.metadata("nnunetv2-ext")["Requires-Python"]
    yield _version("Python", platform.python_version(), python, cure="install a newer Python")
    for package, needed in _needed_versions().items():
        command = f"pip install {shlex.quote(package + needed)}"
        try:
            yield _version(package, importlib.metadata.version(package), needed, command=command)
        except importlib.metadata.PackageNotFoundError:
            yield Check(package, "wrong", "not installed", command=command)


def _needed_versions() -> dict[str, str]:
    """What our own metadata asks for of the packages that are checked."""
    requirements = [Requirement(line) for line in importlib.metadata.requires("nnunetv2-ext") or []]
    specifiers = {requirement.name: str(requirement.specifier) for requirement in requirements if not requirement.marker}
    return {package: specifiers[package] for package in CHECKED}


def _version(name: str, version: str, needed: str, cure: str = "", command: str = "") -> Check:
    if SpecifierSet(needed).contains(version, prereleases=True):
        return Check(name, "ok", version)
    return Check(name, "wrong", f"{version}, need {needed}", cure, command)


def shim() -> Check:
    """The folder that nnU-Net looks into for trainers."""
    if any(SHIM.glob("*.py")):
        return Check("trainer folder", "ok", str(SHIM))
    return Check("trainer folder", "wrong", f"{SHIM} is missing or empty", cure=REINSTALL)


def folders() -> Iterator[Check]:
    """nnU-Net's three variables."""
    for name, needed_for in HOST_FOLDERS.items():
        value = os.environ.get(name)
        if not value:
            command = f'export {name}="$HOME/{name}" && mkdir -p "${name}"'
            yield Check(name, "wrong", f"not set; needed for {needed_for}", command=command)
        elif value.startswith("~"):
            whole = shlex.quote(str(Path(value).expanduser()))
            found = f"{value} begins with ~, which shells don't replace in quotes"
            yield Check(name, "wrong", found, command=f"export {name}={whole} && mkdir -p {whole}")
        elif not Path(value).is_absolute():
            found = f"{value} is relative: it names another folder in each working directory"
            yield Check(name, "warning", found, command=f"export {name}={shlex.quote(str(Path(value).absolute()))}")
        elif not os.path.isdir(value):  # Path's fails where one may not look
            yield Check(name, "wrong", f"{value} is no folder", command=f"mkdir -p {shlex.quote(value)}")
        else:
            yield Check(name, "ok", value)


def trainer_variable() -> Check:
    """The variable that leads nnU-Net to our trainers."""
    value = os.environ.get(TRAINER_FOLDERS, "")
    if names_our_folder(value):
        return Check(TRAINER_FOLDERS, "ok", value)
    command = f"export {TRAINER_FOLDERS}={shlex.quote(trainer_folders())}"
    return Check(TRAINER_FOLDERS, "wrong", f"names another folder: {value}" if value else "not set", command=command)


def user_presets() -> Iterator[Check]:
    """The presets of the user's, from files and from packages; nothing if there are none."""
    own = [preset for preset in PRESETS.values() if preset.origin]
    for problem in PRESETS.problems:
        yield Check(
            PRESET_FOLDERS, "wrong", problem, cure="correct the file, or move it away; all other presets work without it"
        )
    if own:
        yield Check(PRESET_FOLDERS, "ok", ", ".join(f"{preset.name} ({preset.origin})" for preset in own))


def look_up() -> Check:
    """Whether nnU-Net finds our trainers.

    Its own search takes a tenth of a second for each name, so it is asked for two, one of which has a number in it; our own
    look-up, to which every search leads, is asked for all.
    """
    from nnunetv2_ext.trainers.resolve import trainer_class

    names = [name for name in all_names() if not parse(name).preset.origin]
    for name in (names[0], f"{names[0]}_7epochs"):
        try:
            found = search(name, all_folders())
        except Exception as error:  # whatever the modules in a user's folders raise
            return _not_found(f"{name}: {shorten(f'{type(error).__name__}: {error}', 100)}")
        if found is None:
            return _not_found(name)
        if found is not trainer_class(name):
            return _not_found(f"{name}: it takes one of {found.__module__}")
    for name in names:
        trainer_class(name)
    return Check("trainers", "ok", f"nnU-Net finds them; {len(names)} names, and each with any number of epochs")


def _not_found(what: str) -> Check:
    cure = (
        f"set {TRAINER_FOLDERS} so that it names our folder, and no folder with a broken module or with trainers of our names"
    )
    return Check("trainers", "wrong", f"nnU-Net doesn't find {what}", cure)


def name_clashes() -> Check:
    """Whether a trainer that nnU-Net prefers has a name of ours: it would silently take that one."""
    preferred = [*_stock_folders(), *folders_before_ours()]
    clashes = [f"{name} in {file}" for folder in preferred for name, file in classes_in(folder) if _is_ours(name)]
    if clashes:
        cure = "rename them, put our folder first in nnUNet_extTrainer, or use other presets"
        return Check("names", "wrong", f"nnU-Net takes other trainers with names of ours: {', '.join(clashes)}", cure)
    return Check("names", "ok", "nnU-Net takes no other trainer for one of ours")


def _is_ours(name: str) -> bool:
    try:
        parse(name)
    except UnknownTrainerError:
        return False
    return True


def _stock_folders() -> list[str]:
    """Where nnU-Net looks first."""
    return list(importlib.import_module("nnunetv2.training.nnUNetTrainer").__path__)


def classes_in(folder: str) -> Iterator[tuple[str, Path]]:
    """The classes that the modules of a folder define, read without importing them, which would take seconds."""
    for file in sorted(Path(folder).rglob("*.py")):
        text = file.read_text(encoding="utf-8", errors="replace")
        yield from ((name, file) for name in re.findall(r"^class +(\w+)", text, re.MULTILINE))


def stock_trainers() -> Iterator[Check]:
    """Whether stock trainers whose names look like ours are there, and can run."""
    stock = {name for folder in _stock_folders() for name, _ in classes_in(folder)}
    for name in STOCK_NAMES:
        if name in stock:
            yield Check(name, "ok", "nnU-Net's own")
        else:
            command = "pip install --force-reinstall " + shlex.quote("nnunetv2" + _needed_versions()["nnunetv2"])
            yield Check(name, "wrong", "nnU-Net lacks it", command=command)
    if importlib.util.find_spec("adan_pytorch") is None:
        yield Check("adan_pytorch", "wrong", "can't be imported", command="pip install adan-pytorch")


def gpu() -> Check:
    """The device that a training would run on."""
    import torch

    if not torch.cuda.is_available():
        return Check(
            "GPU", "warning", "none that torch can use", "trainings on a CPU take weeks; see pytorch.org for CUDA builds"
        )
    properties = torch.cuda.get_device_properties(0)
    return Check("GPU", "ok", f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB")

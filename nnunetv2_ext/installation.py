"""Checks of the installation, each of which says in words what to do where something is wrong."""

import importlib
import importlib.metadata
import importlib.util
import os
import pkgutil
import platform
import shlex
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from textwrap import shorten
from typing import Literal, NamedTuple

from packaging.specifiers import SpecifierSet

from nnunetv2_ext.errors import UnknownTrainerError
from nnunetv2_ext.paths import HOST_FOLDERS, SHIM, TRAINER_FOLDERS, names_our_folder, trainer_folders
from nnunetv2_ext.trainers.names import all_names, parse

NEEDED = {
    "nnunetv2": ">=2.8,<3",
    "torch": ">=2.4",
    "dynamic-network-architectures": ">=0.4.1,<0.5",
    "batchgenerators": ">=0.25.1",
    "adan-pytorch": ">=0.1,<0.2",
    "timm": ">=1.0.15",
}
PYTHON = ">=3.10"
STOCK_NAMES = ("nnUNetTrainerAdan", "nnUNetTrainerDiceLoss")
"""stock trainers whose names look like ours"""

State = Literal["ok", "warning", "wrong"]


class Check(NamedTuple):
    """What was looked at, what was found, and what to do about it."""

    name: str
    state: State
    found: str
    cure: str = ""


def checks() -> Iterator[Check]:
    """All checks, one after the other. What the host prints meanwhile is dropped."""
    yield from versions()
    yield shim()
    yield from folders()
    yield trainer_variable()
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            found = [look_up(), name_clashes(), *stock_trainers(), gpu()]
    except ImportError as error:
        found = [Check("nnU-Net", "wrong", f"can't be imported: {error}", "pip install --force-reinstall nnunetv2-ext")]
    yield from found


def versions() -> Iterator[Check]:
    """Python and the packages we build on."""
    yield _version("Python", platform.python_version(), PYTHON, "install a newer Python")
    for package, needed in NEEDED.items():
        cure = f"pip install {shlex.quote(package + needed)}"
        try:
            yield _version(package, importlib.metadata.version(package), needed, cure)
        except importlib.metadata.PackageNotFoundError:
            yield Check(package, "wrong", "not installed", cure)


def _version(name: str, version: str, needed: str, cure: str) -> Check:
    if SpecifierSet(needed).contains(version, prereleases=True):
        return Check(name, "ok", version)
    return Check(name, "wrong", f"{version}, need {needed}", cure)


def shim() -> Check:
    """The folder that nnU-Net looks into for trainers."""
    if any(SHIM.glob("*.py")):
        return Check("trainer folder", "ok", str(SHIM))
    return Check("trainer folder", "wrong", f"{SHIM} is missing or empty", "pip install --force-reinstall nnunetv2-ext")


def folders() -> Iterator[Check]:
    """The host's three variables."""
    for name, needed_for in HOST_FOLDERS.items():
        value = os.environ.get(name)
        if not value:
            yield Check(name, "wrong", f"not set; needed for {needed_for}", f"export {name}=FOLDER, in your shell's profile")
        elif not Path(value).is_dir():
            yield Check(name, "wrong", f"{value} is no folder", f"mkdir -p {shlex.quote(value)}, or correct the variable")
        else:
            yield Check(name, "ok", value)


def trainer_variable() -> Check:
    """The variable that leads nnU-Net to our trainers."""
    value = os.environ.get(TRAINER_FOLDERS, "")
    if names_our_folder(value):
        return Check(TRAINER_FOLDERS, "ok", value)
    line = f"export {TRAINER_FOLDERS}={shlex.quote(trainer_folders())}"
    return Check(TRAINER_FOLDERS, "wrong", f"names another folder: {value}" if value else "not set", line)


def look_up() -> Check:
    """Whether the host's own look-up by name gives our trainers."""
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    from nnunetv2_ext.trainers.resolve import trainer_class

    names = [*all_names(), f"{all_names()[0]}_7epochs"]
    problems: dict[str, str] = {}
    for name in names:
        try:
            found = recursive_find_trainer_class_by_name(name)
        except Exception as error:  # whatever the modules in a user's folders raise
            problems[name] = shorten(f"{type(error).__name__}: {error}", 100)
        else:
            if found is not trainer_class(name):
                problems[name] = f"is a trainer of {getattr(sys.modules.get(found.__module__), '__file__', found.__module__)}"
    if not problems:
        return Check("trainers", "ok", f"nnU-Net finds all {len(names)} names that were tried")
    first, problem = next(iter(problems.items()))
    found_text = f"nnU-Net doesn't find {len(problems)} of {len(names)}, such as {first}: {problem}"
    return Check(
        "trainers", "wrong", found_text, f"set {TRAINER_FOLDERS} so that our folder comes before others with such names"
    )


def name_clashes() -> Check:
    """Whether a stock trainer has a name of ours: the host would take its own, without a word."""
    clashes = [f"{name} in {module}" for name, module in _stock_classes() if _is_ours(name)]
    if clashes:
        return Check(
            "names", "wrong", f"stock trainers have names of ours: {', '.join(clashes)}", "use other presets; report it"
        )
    return Check("names", "ok", "no stock trainer has a name of ours")


def _is_ours(name: str) -> bool:
    try:
        parse(name)
    except UnknownTrainerError:
        return False
    return True


def _stock_classes() -> Iterator[tuple[str, str]]:
    package = importlib.import_module("nnunetv2.training.nnUNetTrainer")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        imported = importlib.import_module(module.name)
        yield from ((name, module.name) for name, value in vars(imported).items() if isinstance(value, type))


def stock_trainers() -> Iterator[Check]:
    """Whether stock trainers whose names look like ours are still the host's, and can run."""
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    for name in STOCK_NAMES:
        module = recursive_find_trainer_class_by_name(name).__module__
        if module.startswith("nnunetv2."):
            yield Check(name, "ok", "the host's own")
        else:
            yield Check(name, "wrong", f"comes from {module}", "pip install --force-reinstall 'nnunetv2>=2.8,<3'")
    if importlib.util.find_spec("adan_pytorch") is None:
        yield Check("adan_pytorch", "wrong", "can't be imported", "pip install adan-pytorch")


def gpu() -> Check:
    """The device that a training would run on."""
    import torch

    if not torch.cuda.is_available():
        return Check(
            "GPU", "warning", "none that torch can use", "trainings on a CPU take weeks; see pytorch.org for CUDA builds"
        )
    properties = torch.cuda.get_device_properties(0)
    return Check("GPU", "ok", f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB")

"""Trainers in the folders that ``nnUNet_extTrainer`` names, as nnU-Net searches them."""

import os
from collections.abc import Iterable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from nnunetv2_ext.paths import SHIM, TRAINER_FOLDERS, folders_in


def all_folders() -> list[str]:
    """The folders of the variable that exist, in nnU-Net's order."""
    return [folder for folder in folders_in(os.environ.get(TRAINER_FOLDERS, "")) if os.path.exists(folder)]


def folders_before_ours() -> list[str]:
    """The folders whose trainers nnU-Net prefers to ours: all of them if ours is not among them."""
    return _split()[0]


def folders_behind_ours() -> list[str]:
    """The folders that nnU-Net searches for what ours doesn't have."""
    return _split()[1]


def _split() -> tuple[list[str], list[str]]:
    folders = all_folders()
    place = next((place for place, folder in enumerate(folders) if Path(folder).resolve() == SHIM.resolve()), len(folders))
    return folders[:place], folders[place + 1 :]


def search(name: str, folders: Iterable[str]) -> type | None:
    """The first class of that name that nnU-Net's own search finds in the folders. What it prints is dropped."""
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    for folder in folders:
        with redirect_stdout(StringIO()):
            found = recursive_find_python_class(folder, name, None, base_folder=folder, cleanup_imports_from_base_folder=True)
        if found is not None:
            return found
    return None

"""nnU-Net's variables and commands, and our folder that one of the variables has to name. Imports no torch."""

import os
import shutil
import sys
from pathlib import Path

SHIM = Path(__file__).parent / "trainers" / "shim"

TRAINER_FOLDERS = "nnUNet_extTrainer"
PRESET_FOLDERS = "nnUNet_extPresets"
"""our own variable: folders with presets of the user's"""
HOST_FOLDERS = {
    "nnUNet_raw": "planning and preprocessing",
    "nnUNet_preprocessed": "preprocessing and training",
    "nnUNet_results": "training and prediction",
}
"""nnU-Net's folders, and what it needs them for"""


def folders_in(value: str) -> list[str]:
    """The folders in the value of a variable."""
    return [folder for folder in value.split(os.pathsep) if folder.strip()]


def preset_folders() -> list[str]:
    """The folders that ``nnUNet_extPresets`` names."""
    return folders_in(os.environ.get(PRESET_FOLDERS, ""))


def names_our_folder(value: str) -> bool:
    """Whether a value of ``nnUNet_extTrainer`` has our folder among its folders."""
    return any(Path(folder).resolve() == SHIM.resolve() for folder in folders_in(value))


def trainer_folders() -> str:
    """What ``nnUNet_extTrainer`` has to be: the folders it names now, and ours."""
    present = os.environ.get(TRAINER_FOLDERS, "")
    return present if names_our_folder(present) else os.pathsep.join([*folders_in(present), str(SHIM)])


def host_command(name: str) -> str | None:
    """The path of a command, beside our own Python first: a virtual environment works without being activated."""
    return shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))

"""nnU-Net's variables, and our folder that one of them has to name. Imports no torch."""

import os
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


def preset_folders() -> list[str]:
    """The folders that ``nnUNet_extPresets`` names."""
    return [folder for folder in os.environ.get(PRESET_FOLDERS, "").split(os.pathsep) if folder.strip()]


def names_our_folder(value: str) -> bool:
    """Whether a value of ``nnUNet_extTrainer`` has our folder among its folders."""
    return any(Path(folder).resolve() == SHIM.resolve() for folder in value.split(os.pathsep) if folder.strip())


def trainer_folders() -> str:
    """What ``nnUNet_extTrainer`` has to be: the folders it names now, and ours."""
    present = os.environ.get(TRAINER_FOLDERS, "")
    if names_our_folder(present):
        return present
    return os.pathsep.join([*(folder for folder in present.split(os.pathsep) if folder.strip()), str(SHIM)])

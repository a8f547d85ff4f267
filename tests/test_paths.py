"""What nnUNet_extTrainer has to be."""

import os

import pytest

from nnunetv2_ext.paths import SHIM, TRAINER_FOLDERS, names_our_folder, trainer_folders


@pytest.mark.parametrize(("value", "ours"), [("", False), ("/other", False), (f"/other{os.pathsep}{SHIM}/", True)])
def test_our_folder_is_recognised_among_others(value, ours, monkeypatch) -> None:
    monkeypatch.setenv(TRAINER_FOLDERS, value)
    assert names_our_folder(value) == ours
    assert trainer_folders() == (value if ours else os.pathsep.join([value, str(SHIM)]).lstrip(os.pathsep))


def test_the_folder_is_there() -> None:
    assert [file.name for file in SHIM.glob("*.py")] == ["nnunetv2_ext_trainers.py"]

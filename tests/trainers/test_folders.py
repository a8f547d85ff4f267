"""The folders of nnUNet_extTrainer, and what our own says in nnU-Net's search of them."""

import os

import pytest
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from nnunetv2_ext.errors import UnknownTrainerError
from nnunetv2_ext.paths import SHIM, TRAINER_FOLDERS
from nnunetv2_ext.trainers.folders import folders_before_ours, folders_behind_ours, search


@pytest.fixture
def name_folders(monkeypatch):
    """Sets the variable."""
    return lambda *folders: monkeypatch.setenv(TRAINER_FOLDERS, os.pathsep.join(map(str, folders)))


@pytest.fixture
def theirs(tmp_path):
    """A folder with trainers of another package."""
    (tmp_path / "theirs.py").write_text(
        "from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer\n"
        "class nnUNetTrainerEGEMine(nnUNetTrainer): pass\n"
        "class nnUNetTrainerUMambaBot(nnUNetTrainer): pass\n"
    )
    return tmp_path


def test_before_and_behind(name_folders, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
    name_folders(one, "/nowhere", f"{SHIM}/", other)
    assert (folders_before_ours(), folders_behind_ours()) == ([str(one)], [str(other)])
    name_folders(one, other)
    assert (folders_before_ours(), folders_behind_ours()) == ([str(one), str(other)], [])
    name_folders("")
    assert (folders_before_ours(), folders_behind_ours()) == ([], [])


def test_search_is_silent(theirs, capsys):
    assert search("nnUNetTrainerUMambaBot", [str(theirs)]).__name__ == "nnUNetTrainerUMambaBot"
    assert search("nnUNetTrainerNothing", [str(theirs)]) is None
    assert not capsys.readouterr().out


@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize("name", ["nnUNetTrainerEGEMine", "nnUNetTrainerUMambaBot"])
def test_about_a_trainer_of_another_folder_we_say_nothing(name_folders, theirs, capsys, name, ours_first):
    name_folders(*((SHIM, theirs) if ours_first else (theirs, SHIM)))
    assert recursive_find_trainer_class_by_name(name).__name__ == name
    output = capsys.readouterr()
    assert "no trainer" not in output.out + output.err


@pytest.mark.parametrize("name", ["nnUNetTrainerEGGE", "nnUNetTrainerEGEMinne", "nnUNetTrainerMedt_50epochs"])
@pytest.mark.parametrize("ours_first", [True, False])
def test_a_name_like_ours_that_nobody_has_ends_in_our_sentence(name_folders, theirs, name, ours_first):
    name_folders(*((SHIM, theirs) if ours_first else (theirs, SHIM)))
    with pytest.raises(UnknownTrainerError, match=f"there is no trainer {name}. Did you mean nnUNetTrainer(EGE|MedT)"):
        recursive_find_trainer_class_by_name(name)


def test_a_name_unlike_ours_that_nobody_has_is_nnunet_s_to_answer(name_folders):
    name_folders(SHIM)
    with pytest.raises(RuntimeError, match="Could not find requested nnunet trainer nnUNetTrainerSwinUMamba"):
        recursive_find_trainer_class_by_name("nnUNetTrainerSwinUMamba")

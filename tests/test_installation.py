"""Each check finds what it is for, and says what to do."""

import os
import re
from pathlib import Path

import pytest

from nnunetv2_ext import installation
from nnunetv2_ext.paths import SHIM, TRAINER_FOLDERS
from nnunetv2_ext.trainers.names import all_names


@pytest.mark.usefixtures("clean_variables")
def test_unset_folders_are_wrong():
    assert all(row.state == "wrong" and "not set" in row.found for row in installation.folders())


@pytest.mark.usefixtures("whole_variables")
def test_a_variable_that_points_nowhere_is_wrong(monkeypatch):
    monkeypatch.setenv("nnUNet_raw", "/nowhere at all")
    raw, *others = installation.folders()
    assert raw.state == "wrong"
    assert raw.command == "mkdir -p '/nowhere at all'"
    assert all(row.state == "ok" for row in others)


@pytest.mark.usefixtures("whole_variables")
@pytest.mark.parametrize(
    ("value", "state", "command"),
    [
        ("~/raw", "wrong", "export nnUNet_raw={home}/raw && mkdir -p {home}/raw"),
        ("raw", "warning", "export nnUNet_raw={here}/raw"),
    ],
)
def test_folders_that_are_another_one_elsewhere(value, state, command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("nnUNet_raw", value)
    raw, *_ = installation.folders()
    assert (raw.state, raw.command) == (state, command.format(home="/home/me", here=tmp_path))


@pytest.mark.usefixtures("clean_variables")
@pytest.mark.parametrize("elsewhere", ["", "/elsewhere"])
def test_a_trainer_variable_without_our_folder_is_wrong(monkeypatch, elsewhere):
    monkeypatch.setenv(TRAINER_FOLDERS, elsewhere)
    row = installation.trainer_variable()
    assert row.state == "wrong"
    assert row.command == f"export {TRAINER_FOLDERS}={os.pathsep.join([*([elsewhere] if elsewhere else []), str(SHIM)])}"


@pytest.mark.usefixtures("clean_variables")
def test_trainers_that_the_host_does_not_find_are_wrong():
    row = installation.look_up()
    assert row.state == "wrong"
    assert "nnUNetTrainerEGE" in row.found


@pytest.mark.usefixtures("whole_variables")
def test_trainers_that_nnunet_finds_are_well():
    row = installation.look_up()
    assert row.state == "ok"
    assert f"{len(all_names())} names" in row.found


@pytest.mark.usefixtures("whole_variables")
def test_a_look_up_of_ours_that_fails_is_not_hidden(monkeypatch):
    def fail(name):
        raise ImportError(f"no optimizer for {name}")

    monkeypatch.setattr("nnunetv2_ext.trainers.resolve.trainer_class", fail)
    row = list(installation.checks())[-1]
    assert (row.name, row.state) == ("nnU-Net", "wrong")


@pytest.fixture
def folder_first(monkeypatch, tmp_path):
    """A folder of the user's that nnU-Net searches before ours."""
    folder = tmp_path / "first"
    folder.mkdir()
    monkeypatch.setenv(TRAINER_FOLDERS, os.pathsep.join([str(folder), str(SHIM)]))
    return folder


TRAINER = "from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer\n\n\nclass {}(nnUNetTrainer):\n    pass\n"


def test_a_trainer_of_the_users_with_a_name_of_ours_is_wrong(folder_first):
    (folder_first / "of_the_users.py").write_text(TRAINER.format("nnUNetTrainerEGE"))
    row = installation.look_up()
    assert row.state == "wrong"
    assert "nnUNetTrainerEGE: it takes one of of_the_users" in row.found


def test_a_broken_module_of_the_users_is_wrong(folder_first):
    (folder_first / "broken.py").write_text("import a_package_that_nobody_has\n")
    row = installation.look_up()
    assert row.state == "wrong"
    assert "ModuleNotFoundError" in row.found


@pytest.mark.parametrize("name", ["nnUNetTrainerMCANet", "nnUNetTrainerEGE_5epochs"])
def test_any_name_of_ours_in_a_folder_before_ours_is_a_clash(folder_first, name):
    (folder_first / "of_the_users.py").write_text(TRAINER.format(name))
    row = installation.name_clashes()
    assert row.state == "wrong"
    assert f"{name} in {folder_first / 'of_the_users.py'}" in row.found


def test_other_names_and_folders_behind_ours_are_no_clash(folder_first, monkeypatch, tmp_path):
    (folder_first / "of_the_users.py").write_text(TRAINER.format("nnUNetTrainerTheirs"))
    (tmp_path / "behind").mkdir()
    (tmp_path / "behind" / "of_the_users.py").write_text(TRAINER.format("nnUNetTrainerEGE"))
    monkeypatch.setenv(TRAINER_FOLDERS, os.pathsep.join([str(folder_first), str(SHIM), str(tmp_path / "behind")]))
    assert installation.name_clashes().state == "ok"


def test_stock_classes_are_read_as_they_are():
    names = {name for folder in installation._stock_folders() for name, _ in installation.classes_in(folder)}
    assert {"nnUNetTrainer", "nnUNetTrainer_5epochs", *installation.STOCK_NAMES} <= names


def test_a_host_without_its_own_trainers_is_wrong(monkeypatch, tmp_path):
    monkeypatch.setattr(installation, "_stock_folders", lambda: [str(tmp_path)])
    rows = {row.name: row for row in installation.stock_trainers()}
    assert all(rows[name].state == "wrong" for name in installation.STOCK_NAMES)


def test_a_version_that_is_too_new_is_wrong(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "3.0")
    row = next(row for row in installation.versions() if row.name == "nnunetv2")
    assert (row.state, row.command) == ("wrong", "pip install 'nnunetv2<3,>=2.8'")


def test_a_host_that_can_not_be_imported_is_a_row(monkeypatch):
    def fail():
        raise ImportError("no module named nnunetv2")

    monkeypatch.setattr(installation, "look_up", fail)
    row = list(installation.checks())[-1]
    assert (row.name, row.state) == ("nnU-Net", "wrong")


def test_every_checked_package_is_one_that_the_build_needs(monkeypatch):
    build = Path(__file__).parents[1].joinpath("pyproject.toml").read_text()
    lines = re.search(r"\ndependencies = \[(.*?)\n\]", build, re.DOTALL)[1]
    monkeypatch.setattr("importlib.metadata.requires", lambda _name: re.findall(r'"(.*?)"', lines))
    assert set(installation.CHECKED) == installation._needed_versions().keys()
    assert [row for row in installation.versions() if row.state == "wrong"] == []

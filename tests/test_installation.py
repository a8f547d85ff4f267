"""Each check finds what it is for, and says what to do."""

import os
from pathlib import Path

import pytest

from nnunetv2_ext import installation
from nnunetv2_ext.paths import SHIM, TRAINER_FOLDERS


@pytest.mark.usefixtures("clean_variables")
def test_unset_folders_are_wrong():
    assert all(row.state == "wrong" and "not set" in row.found for row in installation.folders())


@pytest.mark.usefixtures("whole_variables")
def test_a_variable_that_points_nowhere_is_wrong(monkeypatch):
    monkeypatch.setenv("nnUNet_raw", "/nowhere at all")
    raw, *others = installation.folders()
    assert raw.state == "wrong"
    assert "mkdir -p '/nowhere at all'" in raw.cure
    assert all(row.state == "ok" for row in others)


@pytest.mark.usefixtures("clean_variables")
@pytest.mark.parametrize("elsewhere", ["", "/elsewhere"])
def test_a_trainer_variable_without_our_folder_is_wrong(monkeypatch, elsewhere):
    monkeypatch.setenv(TRAINER_FOLDERS, elsewhere)
    row = installation.trainer_variable()
    assert row.state == "wrong"
    assert row.cure == f"export {TRAINER_FOLDERS}={os.pathsep.join([*([elsewhere] if elsewhere else []), str(SHIM)])}"


@pytest.mark.usefixtures("clean_variables")
def test_trainers_that_the_host_does_not_find_are_wrong():
    row = installation.look_up()
    assert row.state == "wrong"
    assert "nnUNetTrainerEGE" in row.found


@pytest.mark.usefixtures("clean_variables")
def test_a_trainer_of_the_users_with_a_name_of_ours_is_wrong(monkeypatch, tmp_path):
    source = (
        "from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer\nclass nnUNetTrainerEGE(nnUNetTrainer): pass\n"
    )
    (tmp_path / "of_the_users.py").write_text(source)
    monkeypatch.setenv(TRAINER_FOLDERS, os.pathsep.join([str(tmp_path), str(SHIM)]))
    row = installation.look_up()
    assert row.state == "wrong"
    assert "doesn't find 1 of" in row.found


def test_a_stock_trainer_with_a_name_of_ours_is_wrong(monkeypatch):
    monkeypatch.setattr("nnunetv2_ext.installation._stock_classes", lambda: iter([("nnUNetTrainerEGE_5epochs", "stock")]))
    assert installation.name_clashes().state == "wrong"


def test_a_version_that_is_too_new_is_wrong(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "3.0")
    row = next(row for row in installation.versions() if row.name == "nnunetv2")
    assert (row.state, row.cure) == ("wrong", "pip install 'nnunetv2>=2.8,<3'")


def test_a_host_that_can_not_be_imported_is_a_row(monkeypatch):
    def fail():
        raise ImportError("no module named nnunetv2")

    monkeypatch.setattr(installation, "look_up", fail)
    row = list(installation.checks())[-1]
    assert (row.name, row.state) == ("nnU-Net", "wrong")


def test_the_versions_are_those_of_the_build():
    build = Path(__file__).parents[1].joinpath("pyproject.toml").read_text()
    assert f'requires-python = "{installation.PYTHON}"' in build
    assert all(f'"{package}{needed}"' in build for package, needed in installation.NEEDED.items())

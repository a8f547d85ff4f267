"""``nnUNetv2_ext doctor``"""

import json

import pytest

from nnunetv2_ext import installation
from nnunetv2_ext.paths import TRAINER_FOLDERS


@pytest.mark.usefixtures("whole_variables")
def test_it_reports_every_check_and_exits_with_0_when_all_is_well(command):
    result = command("doctor", "--json")
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert result.exit_code == 0, result.output
    assert {"Python", "nnunetv2", "torch", "trainer folder", TRAINER_FOLDERS, "trainers", "names", "GPU"} <= rows.keys()
    assert {row["state"] for row in rows.values()} <= {"ok", "warning"}


@pytest.fixture
def only(monkeypatch):
    """Makes doctor report the given checks alone."""
    return lambda *rows: monkeypatch.setattr(installation, "checks", lambda: iter(rows))


def test_something_wrong_exits_with_1(command, only):
    only(installation.Check("a", "ok", "fine", "unneeded"), installation.Check("b", "wrong", "not there", "get one"))
    result = command("doctor")
    assert result.exit_code == 1
    assert "b: get one\n" in result.output
    assert "unneeded" not in result.output
    assert "Paste" not in result.output


def test_commands_to_paste_stand_whole_in_one_block(command, only):
    long = "export something=" + "/long" * 60
    only(
        installation.Check("a", "wrong", "not set", command=long),
        installation.Check("b", "warning", "none", "get one"),
        installation.Check("c", "ok", "fine", command="unneeded"),
        installation.Check("d", "wrong", "not there", command="mkdir d"),
    )
    output = command("doctor").output
    assert output.endswith(f":\n\n{long}\nmkdir d\n")
    assert "unneeded" not in output


def test_a_warning_exits_with_0(command, only):
    only(installation.Check("a", "warning", "none", "get one"))
    assert command("doctor").exit_code == 0


def test_a_dataset_is_checked_in_place_of_the_installation(command, dataset, only):
    only()
    result = command("doctor", "-d", "7", "--json")
    rows = json.loads(result.stdout)
    assert result.exit_code == 1
    assert [row["name"] for row in rows if row["state"] == "wrong"] == ["numTraining", "plans"]
    assert str(dataset.raw) in rows[0]["found"]


@pytest.mark.parametrize("name", ["", "[/x]"])
def test_a_name_that_is_empty_or_looks_like_markup_is_looked_for(command, dataset, name):
    result = command("doctor", "-d", name)
    assert (result.exit_code, result.output.startswith(f"there is no dataset {name}; there are {dataset.name}.")) == (1, True)


def test_an_unknown_dataset_is_a_sentence(command, dataset):
    result = command("doctor", "-d", "8")
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert result.output.startswith(f"there is no dataset 8; there are {dataset.name}. Looked into: ")

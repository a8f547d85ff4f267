"""``nnUNetv2_ext env``"""

import os
import shlex
import subprocess

import pytest

from nnunetv2_ext.paths import HOST_FOLDERS, SHIM, TRAINER_FOLDERS

pytestmark = pytest.mark.usefixtures("clean_variables")


def evaluated(text: str) -> list[str]:
    """The folders that a shell has in the variable after ``eval``."""
    script = f'eval {shlex.quote(text)}; printf %s "${TRAINER_FOLDERS}"'
    return subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True).stdout.split(os.pathsep)


def test_a_shell_has_our_folder_afterwards(command):
    assert evaluated(command("env").stdout) == [str(SHIM)]


def test_folders_of_the_users_stay_and_come_first(command, monkeypatch):
    theirs = ["/with space", "/with'quote and $HOME"]
    monkeypatch.setenv(TRAINER_FOLDERS, os.pathsep.join(theirs))
    assert evaluated(command("env").stdout) == [*theirs, str(SHIM)]


@pytest.mark.parametrize("written", [str(SHIM), f"{SHIM}/", f"{SHIM.parent}/../trainers/{SHIM.name}"])
def test_our_folder_is_not_added_twice(command, monkeypatch, written):
    monkeypatch.setenv(TRAINER_FOLDERS, os.pathsep.join([written, "/other"]))
    assert evaluated(command("env").stdout) == [written, "/other"]


def test_an_empty_variable_counts_as_unset(command, monkeypatch):
    monkeypatch.setenv(TRAINER_FOLDERS, "")
    assert evaluated(command("env").stdout) == [str(SHIM)]


def test_unset_variables_are_said_beside_what_is_evaluated(command, monkeypatch):
    first, *others = HOST_FOLDERS
    monkeypatch.setenv(first, "/somewhere")
    result = command("env")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1
    assert f"{first} " not in result.stderr
    assert all(f"{name} is not set" in result.stderr for name in others)


def test_it_is_light(modules_after):
    assert not modules_after("env") & {"torch", "numpy", "nnunetv2", "rich"}

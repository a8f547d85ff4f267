"""Running the host's commands."""

import sys
from io import StringIO

import pytest
from rich.console import Console

from nnunetv2_ext.demo.host import Host
from nnunetv2_ext.errors import ExtensionError


@pytest.fixture
def host(tmp_path, monkeypatch) -> Host:
    monkeypatch.setenv("nnUNet_results", "/the/users/own")
    return Host(tmp_path, Console(file=StringIO(), width=80))


def test_runs_in_its_own_folders(host, tmp_path) -> None:
    code = "import os, pathlib; pathlib.Path(os.environ['nnUNet_results'], 'here').touch()"
    host(sys.executable, "-c", code)
    assert (tmp_path / "nnUNet_results" / "here").is_file()


def test_finds_the_shim(host) -> None:
    code = "import os, sys; sys.path.append(os.environ['nnUNet_extTrainer']); import nnunetv2_ext_trainers"
    host(sys.executable, "-c", code)


def test_a_failing_command(host) -> None:
    with pytest.raises(ExtensionError, match="ended with status 3"):
        host(sys.executable, "-c", "import sys; sys.exit(3)")


def test_a_missing_command(host) -> None:
    with pytest.raises(ExtensionError, match="nnUNetv2_nonsense is not installed"):
        host("nnUNetv2_nonsense")

"""Running nnU-Net's commands."""

import os
import sys

import pytest

from nnunetv2_ext.demo.host import LAST_LINES, Host
from nnunetv2_ext.errors import ExtensionError
from nnunetv2_ext.paths import SHIM


@pytest.fixture
def shown() -> list[str]:
    return []


@pytest.fixture
def host(tmp_path, monkeypatch, shown) -> Host:
    monkeypatch.setenv("nnUNet_results", "/the/users/own")
    monkeypatch.setenv("nnUNet_extTrainer", "/the/users/trainers")
    return Host(tmp_path, shown.append)


def test_runs_in_its_own_folders(host, tmp_path) -> None:
    code = "import os, pathlib; pathlib.Path(os.environ['nnUNet_results'], 'here').touch()"
    host(sys.executable, "-c", code)
    assert (tmp_path / "nnUNet_results" / "here").is_file()


def test_our_trainers_come_before_the_user_s(host, shown) -> None:
    host(sys.executable, "-c", "import os; print(os.environ['nnUNet_extTrainer'])")
    assert shown[-1] == os.pathsep.join([str(SHIM), "/the/users/trainers"])


def test_output_is_shown_kept_and_counted(host, shown) -> None:
    counted = []
    code = "import sys; print('part 1'); print('part 2', file=sys.stderr); print('bar 1\\rbar 2')"
    host(sys.executable, "-c", code, each=("part", lambda: counted.append(1)))
    assert len(counted) == 2, "lines of its output, not the command itself"
    assert shown[0].startswith(f"$ {sys.executable} -c ")
    assert shown[-4:] == ["part 1", "part 2", "bar 1", "bar 2"]
    assert host.log.read_text().splitlines() == shown


def test_variables_of_one_command(host, shown) -> None:
    for more in ({"nnUNet_n_proc_DA": "7"}, {}):
        host(sys.executable, "-c", "import os; print(os.environ['nnUNet_n_proc_DA'])", **more)
    assert (shown[1], shown[3]) == ("7", str(host.processes))


def test_a_failing_command_ends_in_its_last_lines(host) -> None:
    code = "import sys; [print('line', number) for number in range(100)]; sys.exit(3)"
    with pytest.raises(ExtensionError, match=f"ended with status 3; all it printed is in {host.log}") as failed:
        host(sys.executable, "-c", code)
    lines = str(failed.value).splitlines()
    assert lines[:LAST_LINES] == [f"line {number}" for number in range(100 - LAST_LINES, 100)]
    assert "line 5" in host.log.read_text().splitlines()


def test_a_missing_command(host) -> None:
    with pytest.raises(ExtensionError, match="nnUNetv2_nonsense is not installed"):
        host("nnUNetv2_nonsense")

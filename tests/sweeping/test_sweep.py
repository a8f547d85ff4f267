"""A whole sweep of real trainings, interrupted in the middle."""

import fcntl
import json
import os
import signal
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from nnunetv2_ext.cli.compare import compare
from nnunetv2_ext.cli.sweep import sweep
from tests.tiny import NAME, SPLITS, make_tiny_dataset

FIRST, SECOND = "nnUNetTrainerEGEUNet_1epochs_1iters", "nnUNetTrainerGHPA_2epochs_1iters"
SETTINGS = {
    "nnUNet_compile": "false",
    "nnUNet_n_proc_DA": "0",
    "nnUNet_def_n_proc": "1",
    "PYTHONPATH": str(Path(__file__).parents[2]),
}


@pytest.fixture
def results(tmp_path, monkeypatch) -> Path:
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    make_tiny_dataset(tmp_path / "nnUNet_raw", tmp_path / "nnUNet_preprocessed")
    return tmp_path / "nnUNet_results"


def _sweep():
    return CliRunner().invoke(sweep, ["-d", "8", "-tr", FIRST, SECOND, "-f", "0", "--device", "cpu"])


def _interrupt_when(file: Path, given_up: threading.Event) -> None:
    while not given_up.wait(0.05):
        if file.is_file():
            os.kill(os.getpid(), signal.SIGINT)
            return


@pytest.mark.slow
def test_interrupted_and_started_again(results) -> None:
    folders = {name: results / NAME / f"{name}__nnUNetPlans__3d_fullres" / "fold_0" for name in (FIRST, SECOND)}
    logs = {name: results / "sweep" / NAME / f"{name}__nnUNetPlans__3d_fullres__fold_0.log" for name in (FIRST, SECOND)}

    given_up = threading.Event()
    checkpoint = folders[SECOND] / "checkpoint_best.pth"
    watcher = threading.Thread(target=_interrupt_when, args=(checkpoint, given_up))
    terminating = signal.getsignal(signal.SIGTERM)
    watcher.start()
    output = _sweep()
    given_up.set()
    watcher.join()
    assert signal.getsignal(signal.SIGTERM) is terminating
    assert output.exit_code == 130, output.output
    with logs[SECOND].with_suffix(".lock").open("a") as lock:
        # Every process of the training has the lock's file open, so nobody else gets the lock while one of them lives.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert (folders[FIRST] / "validation" / "summary.json").is_file()
    assert not (folders[SECOND] / "validation" / "summary.json").exists()

    output = _sweep()
    assert output.exit_code == 0, output.output
    assert "2 runs: 1 are finished, 1 to do" in output.stderr
    assert logs[FIRST].read_text().count("$ nnUNetv2_train") == 1
    commands = [line for line in logs[SECOND].read_text().splitlines() if "$ nnUNetv2_train" in line]
    assert [command.endswith("--c") for command in commands] == [False, True]
    second_log = sorted(folders[SECOND].glob("training_log_*.txt"))[-1].read_text()
    assert "Epoch 1 " in second_log  # the epoch behind the checkpoint, and not the one before it
    assert "Epoch 0 " not in second_log

    output = CliRunner().invoke(compare, ["-d", "8", "--json", "--html", str(results / "page.html")])
    assert output.exit_code == 0, output.output
    content = json.loads(output.stdout)
    assert [entry["name"] for entry in content["entries"]] == [FIRST, SECOND]
    assert [case for _, case in content["cases"]] == SPLITS[0]["val"]
    assert content["entries"][1]["cost"]["epochs"] == 2
    assert "<svg" in (results / "page.html").read_text()

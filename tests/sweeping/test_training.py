"""A stand-in for nnUNetv2_train shows what it was called with, and finishes the run."""

import dataclasses
import fcntl
import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import submitit

from nnunetv2_ext.paths import SHIM
from nnunetv2_ext.runs import Run, State
from nnunetv2_ext.sweeping import training as module
from nnunetv2_ext.sweeping.training import Training

STAND_IN = """#!/bin/sh
echo "arguments: $*"
echo "variables: $nnUNet_results $nnUNet_extTrainer $CUDA_VISIBLE_DEVICES"
echo '{}' > "$SUMMARY"
exit "$STATUS"
"""


@pytest.fixture
def training(tmp_path, monkeypatch) -> Training:
    command = tmp_path / "nnUNetv2_train"
    command.write_text(STAND_IN)
    command.chmod(0o755)
    run = Run(tmp_path / "results", "Dataset001_A", "nnUNetTrainerEGE", "nnUNetPlans", "2d", "3", 2)
    run.summary_file.parent.mkdir(parents=True)
    monkeypatch.setattr(module, "host_command", lambda name: str(tmp_path / name))
    monkeypatch.setenv("SUMMARY", str(run.summary_file))
    monkeypatch.setenv("STATUS", "0")
    monkeypatch.delenv("nnUNet_extTrainer", raising=False)
    return Training(run, "cuda", False, tmp_path / "logs", "5")


def test_runs_the_stock_command_in_the_results_folder_of_the_repeat(training) -> None:
    assert training() == 0
    log = training.log_file.read_text()
    assert "arguments: Dataset001_A 2d 3 -tr nnUNetTrainerEGE -p nnUNetPlans\n" in log
    assert f"variables: {training.run.results}/repeat_2 {SHIM} 5\n" in log
    assert training.run.state() is State.FINISHED


def test_what_is_finished_is_not_run_again(training) -> None:
    assert training() == training() == 0
    assert training.log_file.read_text().count("arguments:") == 1


@pytest.mark.parametrize(("checkpoint", "flag"), [("best", "--c"), ("latest", "--c"), ("final", "--val")])
def test_takes_a_run_from_where_it_is(training, checkpoint, flag) -> None:
    (training.run.folder / f"checkpoint_{checkpoint}.pth").touch()
    assert training.arguments(training.run.state())[-1] == flag


def test_device_and_probabilities(training) -> None:
    other = Training(training.run, "cpu", True, training.log_folder)
    assert other.arguments(State.CUT_OFF)[-4:] == ["-device", "cpu", "--npz", "--c"]
    assert "CUDA_VISIBLE_DEVICES" not in other.environment()


def test_a_finished_run_without_the_probabilities_that_are_asked_for_is_validated_again(training) -> None:
    training.run.summary_file.write_text("{}")
    asked = Training(training.run, "cuda", True, training.log_folder)
    assert (training.state(), asked.state()) == (State.FINISHED, State.FINISHED)  # without a checkpoint, nothing can be done
    (training.run.folder / "checkpoint_final.pth").touch()
    assert (training.state(), asked.state()) == (State.FINISHED, State.TRAINED)
    (training.run.summary_file.parent / "case.npz").touch()
    assert asked.state() is State.FINISHED


def test_the_status_of_the_command_is_handed_on(training, monkeypatch) -> None:
    monkeypatch.setenv("STATUS", "7")
    assert training() == 7


def test_two_never_train_the_same_run_at_once(training) -> None:
    training.log_folder.mkdir()
    statuses: list[int] = []
    second = threading.Thread(target=lambda: statuses.append(training()))
    with training.log_file.with_suffix(".lock").open("a") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        second.start()
        while not (training.log_file.exists() and "waiting for it" in training.log_file.read_text()):
            second.join(0.01)
        training.run.summary_file.write_text("{}")  # the first one is done
    second.join()
    assert statuses == [0]
    assert "arguments:" not in training.log_file.read_text()


def test_ends_the_processes_that_a_training_leaves_behind(training, tmp_path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "nnUNetv2_train").write_text(f"#!/bin/sh\nsleep 1000 > {pipe} &\n: > {pipe}\nexit 0\n")
    reader = threading.Thread(target=lambda: Path(pipe).read_text())  # ends when the last process has closed its end
    reader.start()
    assert training() == 0
    reader.join()


def test_a_signal_that_arrives_while_a_training_starts_ends_it(training, tmp_path, monkeypatch) -> None:
    started: list[subprocess.Popen] = []

    class Popen(subprocess.Popen):
        def __init__(self, *arguments, **options) -> None:
            super().__init__(*arguments, **options)
            started.append(self)
            signal.raise_signal(signal.SIGUSR2)

    (tmp_path / "nnUNetv2_train").write_text("#!/bin/sh\nsleep 1000\n")
    monkeypatch.setattr(module.subprocess, "Popen", Popen)
    handler = signal.signal(signal.SIGUSR2, lambda *_: sys.exit("requeued"))
    try:
        with pytest.raises(SystemExit, match="requeued"):
            training()
    finally:
        signal.signal(signal.SIGUSR2, handler)
    assert started[0].wait(60) == -signal.SIGKILL
    with training.log_file.with_suffix(".lock").open("a") as lock:  # the next job gets it
        fcntl.flock(lock, fcntl.LOCK_EX)


def test_can_be_sent_to_another_process_and_queued_again(training) -> None:
    assert pickle.loads(pickle.dumps(training)) == training
    assert training.checkpoint().function == training


@dataclasses.dataclass(frozen=True)
class Interruptible(Training):
    """Writes a checkpoint and never ends; when it continues, it finishes."""

    def arguments(self, state: State) -> list[str]:
        folder = self.run.folder
        script = {
            State.NEW: f"echo $PPID > {folder}/pid; touch {folder}/checkpoint_best.pth; sleep 1000",
            State.CUT_OFF: f"echo '{{}}' > {self.run.summary_file}",
        }[state]
        return ["sh", "-c", script]


def test_continues_after_the_signal_that_a_cluster_sends_at_the_time_limit(training, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    executor = submitit.AutoExecutor(training.log_folder / "submitit", cluster="local")
    executor.update_parameters(timeout_min=1000)
    job = executor.submit(Interruptible(**vars(training)))
    while not (training.run.folder / "checkpoint_best.pth").exists():
        assert not job.done(), job.stderr()
    os.kill(int((training.run.folder / "pid").read_text()), signal.SIGUSR2)
    assert job.result() == 0
    assert training.run.state() is State.FINISHED

import contextlib
import random
import shutil
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

from nnunetv2_ext.trainers.checkpoints import CHECKPOINTS, read_checkpoint
from tests import processes
from tests.trainers.tiny_training import TinyTraining

FINAL, _, BEST = CHECKPOINTS


def assert_equal_runs(one: Path, other: Path) -> None:
    """All that is in the checkpoints: weights, optimizer and curves; only the times differ."""
    contents = [torch.load(path, weights_only=False) for path in (one, other)]
    for content in contents:
        for times in ("epoch_start_timestamps", "epoch_end_timestamps"):
            assert len(content["logging"].pop(times)) == content["current_epoch"]
        del content["init_args"]["device"]
    first, second = ({name: plain(value) for name, value in content.items()} for content in contents)
    assert first.keys() == second.keys()
    for name in first:
        assert first[name] == second[name], name


def plain(content):
    """With lists in place of tensors, so that it can be compared."""
    if isinstance(content, torch.Tensor):
        return content.tolist()
    if isinstance(content, dict):
        return {key: plain(value) for key, value in content.items()}
    return [plain(value) for value in content] if isinstance(content, list | tuple) else content


def stop_in(training: TinyTraining, name: str, epoch: int) -> None:
    """Stops a training in the first step of this epoch."""
    trainer = training.start(name, fixed_data=True)
    step = trainer.train_step
    steps = iter(range(trainer.num_iterations_per_epoch * epoch))

    def train_step(batch):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return step(batch)

    trainer.train_step = train_step
    with contextlib.suppress(KeyboardInterrupt):
        trainer.run_training()
    assert trainer.current_epoch == epoch


@pytest.mark.parametrize(
    "name",
    [
        "EABAdamW_3epochs_2iters",
        pytest.param("EGEUNet_3epochs_2iters", marks=pytest.mark.slow),
        pytest.param("GatedAxialUNet_12epochs_1iters", marks=pytest.mark.slow),
        pytest.param("MBTFEAdanCEThenDiceLoss_3epochs_2iters", marks=pytest.mark.slow),
    ],
)
def test_a_continued_run_equals_one_that_was_never_stopped(name, tmp_path, monkeypatch):
    """Optimizer, schedule, gates, loss and curves, where the data are the same."""
    name = f"nnUNetTrainer{name}"
    runs = {}
    for how in ("at once", "stopped"):
        runs[how] = TinyTraining(tmp_path / how, monkeypatch)
        if how == "stopped":
            stop_in(runs[how], name, epoch=2)
        runs[how].train(name, continue_training=how == "stopped", fixed_data=True)
    assert_equal_runs(*(run.fold(name) / FINAL for run in runs.values()))
    assert_equal_runs(*(run.fold(name) / BEST for run in runs.values()))


@pytest.mark.slow
def test_killed_at_thirty_random_moments_every_checkpoint_is_whole_and_the_run_ends_as_if_it_never_had_been(
    tmp_path, monkeypatch
):
    trainer = "nnUNetTrainerEAB_6epochs_2iters"
    uninterrupted = TinyTraining(tmp_path / "uninterrupted", monkeypatch)
    began = time.monotonic()
    assert ended(train(uninterrupted, trainer)) == 0
    duration = time.monotonic() - began

    killed = TinyTraining(tmp_path / "killed", monkeypatch)
    fold, moments = killed.fold(trainer), random.Random(0)
    kills = kills_while_writing = finished = 0
    while kills < 30 or not finished:
        process = train(killed, trainer)
        if kills < 30:
            if kills % 3:
                process.join(moments.uniform(0, duration / 2))
            else:
                wait_until(lambda: process.exitcode is not None or any(fold.glob("*.part")))  # noqa: B023
                time.sleep(moments.uniform(0, 0.05))
            if process.exitcode is None:
                process.kill()
                kills += 1
        status = ended(process)
        assert status in (0, -signal.SIGKILL), (killed.root / "log.txt").read_text()
        for part in fold.glob("*.part"):
            part.unlink()
            kills_while_writing += 1
        for name in CHECKPOINTS:
            if (fold / name).is_file():
                read_checkpoint(fold / name)
                torch.load(fold / name, weights_only=False)
        if status == 0:
            assert_equal_runs(fold / FINAL, uninterrupted.fold(trainer) / FINAL)
            shutil.rmtree(fold)
            finished += 1
    assert kills_while_writing >= 5


def train(training: TinyTraining, name: str) -> BaseProcess:
    return processes.start(continued_on_one_thread, training, name, log=training.root / "log.txt")


def continued_on_one_thread(training: TinyTraining, name: str) -> None:
    torch.set_num_threads(1)
    training.train(name, continue_training=True, fixed_data=True)


def ended(process: BaseProcess) -> int | None:
    process.join()
    return process.exitcode


def wait_until(happened: Callable[[], bool]) -> None:
    while not happened():
        time.sleep(0.001)

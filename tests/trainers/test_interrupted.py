import contextlib
import io
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from nnunetv2_ext.trainers import atomic_write
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


KILLS, KILLS_WHILE_WRITING = 30, 10


@pytest.mark.slow
def test_killed_at_thirty_random_moments_every_checkpoint_is_whole_and_the_run_ends_as_if_it_never_had_been(
    tmp_path, monkeypatch
):
    trainer = "nnUNetTrainerEAB_6epochs_2iters"
    uninterrupted = TinyTraining(tmp_path / "uninterrupted", monkeypatch)
    assert train(uninterrupted, trainer) == 0
    duration = float((uninterrupted.root / "seconds").read_text())
    size = (uninterrupted.fold(trainer) / FINAL).stat().st_size

    killed = TinyTraining(tmp_path / "killed", monkeypatch)
    fold, moments = killed.fold(trainer), random.Random(0)
    kills = {"anywhere": 0, "while writing": 0}
    finished = 0
    for _ in range(10 * KILLS):
        if kills["while writing"] < KILLS_WHILE_WRITING and moments.random() < 0.5:
            how, when = "while writing", KillAtByte(int(moments.uniform(0, 3 * size)))
        elif kills["anywhere"] < KILLS - KILLS_WHILE_WRITING:
            how, when = "anywhere", KillAfter(moments.uniform(0, duration))
        else:
            how, when = "not at all", None
        status = train(killed, trainer, when)
        assert status in (0, -signal.SIGKILL), (killed.root / "log.txt").read_text()
        for name in CHECKPOINTS:
            if (fold / name).is_file():
                read_checkpoint(fold / name)
                torch.load(fold / name, weights_only=False)
        if status == 0:
            assert_equal_runs(fold / FINAL, uninterrupted.fold(trainer) / FINAL)
            shutil.rmtree(fold)
            finished += 1
        else:
            kills[how] += 1
            assert how == "anywhere" or list(fold.glob("*.part"))
        if finished and sum(kills.values()) == KILLS:
            return
    pytest.fail(f"after {10 * KILLS} trainings only {kills} were killed, and {finished} ended")


@dataclass(frozen=True)
class KillAfter:
    """Kills this process some seconds after its training has begun."""

    seconds: float

    def __call__(self) -> None:
        timer = threading.Timer(self.seconds, kill_this_process)
        timer.daemon = True
        timer.start()


@dataclass(frozen=True)
class KillAtByte:
    """Kills this process once it has written so many bytes of checkpoints."""

    byte: int

    def __call__(self) -> None:
        left = self.byte

        class File(io.FileIO):
            def write(self, content) -> int:
                nonlocal left
                if len(content) > left:
                    super().write(content[:left])
                    kill_this_process()
                left -= len(content)
                return super().write(content)

        atomic_write.open = File


def kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def train(training: TinyTraining, name: str, kill: Callable[[], None] | None = None) -> int | None:
    """Continues a run in a process of its own, which may kill itself; how that ended."""
    process = processes.start(continued_on_one_thread, training, name, kill, log=training.root / "log.txt")
    process.join()
    return process.exitcode


def continued_on_one_thread(training: TinyTraining, name: str, kill: Callable[[], None] | None) -> None:
    torch.set_num_threads(1)
    began = time.monotonic()
    if kill:
        kill()
    training.train(name, continue_training=True, fixed_data=True)
    (training.root / "seconds").write_text(str(time.monotonic() - began))

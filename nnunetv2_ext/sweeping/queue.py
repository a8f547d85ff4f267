"""Trainings as jobs of submitit, a number of them at once."""

import contextlib
import dataclasses
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from submitit import AutoExecutor, LocalJob
from submitit.core.utils import FailedJobError

from nnunetv2_ext.runs import Run
from nnunetv2_ext.sweeping.training import Training

SECONDS_BETWEEN_LOOKS = 0.5


@dataclasses.dataclass
class Progress:
    """Where a sweep stands. Whoever shows it is called with it after every look at the jobs."""

    waiting: list[Training]
    running: dict[Training, Any]
    """with submitit's jobs"""
    done: list[Training]
    failed: dict[Training, str]
    """with the reason"""


class Queue:
    """Runs trainings, ``at_once`` at a time, each with one of the GPUs.

    Args:
        executor: of submitit
        at_once: number of jobs
        gpus: what ``CUDA_VISIBLE_DEVICES`` may be, shared out among the jobs; none where the cluster decides.
        needed: for a run, those that have to be finished before it starts
    """

    def __init__(
        self,
        executor: AutoExecutor,
        *,
        at_once: int,
        gpus: Sequence[str] = (),
        needed: Mapping[Run, Sequence[Run]] | None = None,
    ) -> None:
        self._executor = executor
        self._needed = needed or {}
        self._free = [gpus[slot % len(gpus)] if gpus else None for slot in range(at_once)]

    def train(self, trainings: Sequence[Training], report: Callable[[Progress], None]) -> Progress:
        """Runs all of them, also when some fail. Whatever ends it, Ctrl-C too, ends the jobs that are running."""
        progress = Progress(list(trainings), {}, [], {})
        try:
            while progress.waiting or progress.running:
                self._collect(progress)
                self._submit(progress)
                report(progress)
                if progress.running:
                    time.sleep(SECONDS_BETWEEN_LOOKS)
        finally:
            _cancel(list(progress.running.values()))
        return progress

    def _submit(self, progress: Progress) -> None:
        for training in list(progress.waiting):
            needed = self._needed.get(training.run, ())
            if failed := [other for other in progress.failed if other.run in needed]:
                progress.waiting.remove(training)
                progress.failed[training] = f"it needs {failed[0].run.name}, which failed"
            elif self._free and not any(other.run in needed for other in (*progress.waiting, *progress.running)):
                progress.waiting.remove(training)
                self._start(dataclasses.replace(training, gpu=self._free[0]), progress)

    def _start(self, training: Training, progress: Progress) -> None:
        self._executor.update_parameters(name=training.run.name)
        try:
            with _stderr_in(self._executor.folder / "submitit.log"):
                progress.running[training] = self._executor.submit(training)
        except FailedJobError as error:  # the cluster refuses it
            progress.failed[training] = " ".join(str(error).split())
        else:
            del self._free[0]

    def _collect(self, progress: Progress) -> None:
        for training, job in list(progress.running.items()):
            if not job.done():
                continue
            del progress.running[training]
            self._free.append(training.gpu)
            if job.exception() is None and job.result() == 0:
                progress.done.append(training)
            else:
                progress.failed[training] = _last_line(training)


@contextlib.contextmanager
def _stderr_in(file: Path) -> Iterator[None]:
    """What is started meanwhile writes its errors into a file: submitit's process would print a stack trace on Ctrl-C."""
    sys.stderr.flush()
    ours = os.dup(2)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as log:
        os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(ours, 2)
        os.close(ours)


def _cancel(jobs: list[Any]) -> None:
    """Cancels the jobs and waits until they are gone, however often somebody presses Ctrl-C meanwhile."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for job in jobs:
            job.cancel(check=False)
        for job in jobs:
            while isinstance(job, LocalJob) and not job.done():  # a cluster ends its own
                time.sleep(0.05)
    finally:
        signal.signal(signal.SIGINT, handler)


def _last_line(training: Training) -> str:
    """Why a training failed: the last line that it printed."""
    try:
        lines = training.log_file.read_text(errors="replace").split("\n")
    except OSError:
        return "it never started; see submitit's logs"
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")

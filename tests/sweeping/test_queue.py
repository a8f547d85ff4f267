"""The order of jobs, with an executor whose jobs end when the test says so."""

import subprocess
import sys
from pathlib import Path

import pytest
from submitit.core.utils import FailedJobError

from nnunetv2_ext.runs import Run
from nnunetv2_ext.sweeping import queue as module
from nnunetv2_ext.sweeping.queue import Progress, Queue
from nnunetv2_ext.sweeping.training import Training


class Job:
    def __init__(self, training: Training) -> None:
        self.training, self.status, self.crash, self.cancelled = training, None, None, False

    def done(self) -> bool:
        return self.status is not None or self.crash is not None

    def exception(self) -> Exception | None:
        return self.crash

    def result(self) -> int:
        return self.status

    def cancel(self, check: bool) -> None:
        self.cancelled = not check


class Executor:
    """Keeps what was submitted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs: list[Job] = []
        self.names: list[str] = []

    def update_parameters(self, name: str) -> None:
        self.names.append(name)

    def submit(self, training: Training) -> Job:
        self.jobs.append(Job(training))
        return self.jobs[-1]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch) -> None:
    monkeypatch.setattr(module.time, "sleep", lambda _: None)


def _trainings(folder: Path, count: int) -> list[Training]:
    runs = [Run(folder, "Dataset001_A", "T", "P", "2d", str(fold)) for fold in range(count)]
    return [Training(run, "cuda", False, folder) for run in runs]


def _folds(jobs) -> list[str]:
    return [job.training.run.fold for job in jobs]


def test_so_many_at_once_each_on_a_gpu_of_its_own(tmp_path) -> None:
    executor, most = Executor(tmp_path), []

    def report(progress: Progress) -> None:
        most.append(len(progress.running))
        busy = [training.gpu for training in progress.running]
        assert len(set(busy)) == len(busy)
        assert set(busy) <= {"3", "GPU-x"}
        next((job for job in reversed(executor.jobs) if not job.done()), Job(None)).status = 0

    progress = Queue(executor, at_once=2, gpus=["3", "GPU-x"]).train(_trainings(tmp_path, 5), report)
    assert max(most) == 2
    assert _folds(executor.jobs) == ["0", "1", "2", "3", "4"]
    assert len(progress.done) == 5
    assert executor.names[0] == "T__P__2d__fold_0"


def test_goes_on_when_one_fails_and_says_why(tmp_path) -> None:
    executor = Executor(tmp_path)
    trainings = _trainings(tmp_path, 3)
    trainings[1].log_file.write_text("Traceback\nRuntimeError: out of memory\n\n")

    def report(_: Progress) -> None:
        for job in executor.jobs:
            job.status = 1 if job.training.run.fold == "1" else 0
        executor.jobs[-1].crash = RuntimeError("killed") if executor.jobs[-1].training.run.fold == "2" else None

    progress = Queue(executor, at_once=1).train(trainings, report)
    assert [training.run.fold for training in progress.done] == ["0"]
    assert list(progress.failed.values()) == ["RuntimeError: out of memory", "it never started; see submitit's logs"]


def test_a_cascade_waits_for_its_first_stage(tmp_path) -> None:
    executor = Executor(tmp_path)
    first, second, cascade = _trainings(tmp_path, 3)
    seen: list[list[str]] = []

    def report(progress: Progress) -> None:
        if progress.running:
            seen.append([training.run.fold for training in progress.running])
            executor.jobs[len(seen) - 1].status = 0

    needed = {cascade.run: [first.run, second.run]}
    Queue(executor, at_once=3, needed=needed).train([cascade, first, second], report)
    assert seen == [["0", "1"], ["1"], ["2"]]


def test_a_cascade_whose_first_stage_failed_is_not_started(tmp_path) -> None:
    executor = Executor(tmp_path)
    first, cascade = _trainings(tmp_path, 2)

    def report(_: Progress) -> None:
        executor.jobs[0].status = 1

    progress = Queue(executor, at_once=2, needed={cascade.run: [first.run]}).train([first, cascade], report)
    assert _folds(executor.jobs) == ["0"]
    assert progress.failed[cascade] == "it needs T__P__2d__fold_0, which failed"


def test_whatever_ends_it_ends_the_jobs(tmp_path) -> None:
    executor = Executor(tmp_path)

    def report(progress: Progress) -> None:
        if len(progress.running) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Queue(executor, at_once=2).train(_trainings(tmp_path, 3), report)
    assert [job.cancelled for job in executor.jobs] == [True, True]


def test_what_the_cluster_refuses_has_failed(tmp_path) -> None:
    executor = Executor(tmp_path)

    def refuse(_: Training) -> Job:
        raise FailedJobError("sbatch: error:\ninvalid partition")

    executor.submit = refuse
    progress = Queue(executor, at_once=1).train(_trainings(tmp_path, 2), lambda _: None)
    assert list(progress.failed.values()) == ["sbatch: error: invalid partition"] * 2


def test_errors_of_submitit_go_to_its_log(tmp_path, capfd) -> None:
    executor = Executor(tmp_path)
    submit = executor.submit

    def loud(training: Training) -> Job:
        subprocess.run(["sh", "-c", "echo KeyboardInterrupt >&2"], check=True)
        job = submit(training)
        job.status = 0
        return job

    executor.submit = loud
    Queue(executor, at_once=1).train(_trainings(tmp_path, 1), lambda _: print("after", file=sys.stderr))
    assert capfd.readouterr().err == "after\nafter\n"
    assert (tmp_path / "submitit.log").read_text() == "KeyboardInterrupt\n"

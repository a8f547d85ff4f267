"""One training as a job: the command that takes a run from where it is to its end. Imports no torch."""

import contextlib
import fcntl
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nnunetv2_ext.paths import TRAINER_FOLDERS, host_command, trainer_folders
from nnunetv2_ext.runs import Run, State

FLAGS = {State.NEW: (), State.CUT_OFF: ("--c",), State.TRAINED: ("--val",)}


@dataclass(frozen=True)
class Training:
    """What has to be done to finish a run. It can be pickled and called, which is how submitit takes a job."""

    run: Run
    device: str
    save_probabilities: bool
    log_folder: Path
    gpu: str | None = None
    """the one that the training shall see; None where the cluster decides, or without a GPU"""

    @property
    def log_file(self) -> Path:
        """What the training prints, over all attempts."""
        return self.log_folder / f"{self.run.name}.log"

    def state(self) -> State:
        """How far the run got; a finished one that lacks the probabilities that are asked for has to be validated again."""
        state, run = self.run.state(), self.run
        if state is State.FINISHED and self.save_probabilities and (run.folder / "checkpoint_final.pth").is_file():
            return state if any(run.summary_file.parent.glob("*.npz")) else State.TRAINED
        return state

    def arguments(self, state: State) -> list[str]:
        """The command that takes the run from this state to its end."""
        run = self.run
        words = ["nnUNetv2_train", run.dataset, run.configuration, run.fold, "-tr", run.trainer, "-p", run.plans]
        if self.device != "cuda":
            words += ["-device", self.device]
        if self.save_probabilities:
            words.append("--npz")
        return [*words, *FLAGS[state]]

    def environment(self) -> dict[str, str]:
        """The variables that the command needs beside those that are set."""
        values = {"nnUNet_results": str(self.run.root), TRAINER_FOLDERS: trainer_folders()}
        if self.device == "cpu":
            # nnU-Net takes all cores for each training. Threads that wait then have to sleep: spinning, as they do by
            # default, they would take the cores from each other.
            values["OMP_WAIT_POLICY"] = os.environ.get("OMP_WAIT_POLICY", "PASSIVE")
        if self.gpu is not None:
            values["CUDA_VISIBLE_DEVICES"] = self.gpu
        return values

    def __call__(self) -> int:
        """Trains and validates; returns the command's exit status.

        Two sweeps never train the same run at once: the second waits until the first is done with it, and then looks again
        how far it got. The lock belongs to the training process as well, so it holds when the process of the job is killed.
        """
        self.log_folder.mkdir(parents=True, exist_ok=True)
        with self.log_file.with_suffix(".lock").open("a") as lock, self.log_file.open("a") as log:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"{_now()} Another process is training this run; waiting for it.", file=log, flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            state = self.state()
            if state is State.FINISHED:
                return 0
            arguments = self.arguments(state)
            print(f"{_now()} $ {shlex.join(arguments)}", file=log, flush=True)
            return _run([host_command(arguments[0]) or arguments[0], *arguments[1:]], self.environment(), log, lock.fileno())

    def checkpoint(self) -> Any:
        """What submitit queues again when a SLURM job reaches its time limit: the same, which continues the run."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _run(command: list[str], environment: dict[str, str], log: Any, lock: int) -> int:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
    process = None
    try:
        # A session of its own: its worker processes can be ended with it, and Ctrl-C reaches it through us alone.
        with _signals_held_back():
            process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, pass_fds=(lock,)
            )
        return process.wait()
    finally:
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Calls signal handlers at the end of the block only.

    One that raises, as those of Ctrl-C and submitit do, could otherwise interrupt Popen between the start of the process and
    the assignment: nobody could end the process any more, and it would hold the run's lock.
    """
    if threading.current_thread() is not threading.main_thread():  # the only one in which handlers are called
        yield
        return
    arrived: list[int] = []
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda one, _frame: arrived.append(one))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for one in arrived:
            signal.raise_signal(one)


def _now() -> str:
    return datetime.now().isoformat(sep=" ", timespec="seconds")

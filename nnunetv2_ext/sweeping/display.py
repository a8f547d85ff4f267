"""A sweep on the terminal: what runs now and how far it is, and a line for whatever ends."""

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nnunetv2_ext.sweeping.queue import Progress
from nnunetv2_ext.sweeping.training import Training
from nnunetv2_ext.training_log import read_epochs

SECONDS_BETWEEN_READINGS = 2.0


class Display:
    """Shows a sweep's progress while it is entered. Where there is no terminal, only the lines are written."""

    def __init__(self, console: Console, finished_before: int) -> None:
        self._console = console
        self._finished_before = finished_before
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._started: set[Training] = set()
        self._ended: set[Training] = set()
        self._read_at = 0.0

    def __enter__(self) -> "Display":
        self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._live.__exit__(kind, value, trace)

    def __call__(self, progress: Progress) -> None:
        """Shows where the sweep stands."""
        for training in progress.running:
            if training not in self._started:
                self._started.add(training)
                self._line(training, "started", f"log in {training.log_file}")
        for training in [*progress.done, *progress.failed]:
            if training not in self._ended:
                self._ended.add(training)
                self._line(training, "failed" if training in progress.failed else "done", progress.failed.get(training, ""))
                self._read_at = 0.0
        if self._console.is_terminal and time.monotonic() - self._read_at > SECONDS_BETWEEN_READINGS:
            self._read_at = time.monotonic()
            self._live.update(self._table(progress))

    def _line(self, training: Training, what: str, more: str) -> None:
        style = {"done": "green", "failed": "bold red"}.get(what, "")
        self._console.print(Text.assemble((f"{what:8}", style), training.run.name, f"  {more}" if more else ""), soft_wrap=True)

    def _table(self, progress: Progress) -> Table:
        finished = self._finished_before + len(progress.done)
        total = finished + len(progress.failed) + len(progress.running) + len(progress.waiting)
        failed = f", {len(progress.failed)} failed" if progress.failed else ""
        table = Table("Running", "Epoch", "Seconds", "Pseudo Dice", title=f"{finished} of {total} finished{failed}", box=None)
        for training in progress.running:
            table.add_row(training.run.name, *_last_epoch(training))
        return table


def _last_epoch(training: Training) -> tuple[str, str, str]:
    """Number of the epoch that runs, and seconds and pseudo Dice of the one before it."""
    epochs = read_epochs(training.run.folder)
    if not epochs:
        return "", "", ""
    number = max(epochs)
    before = epochs.get(number - 1)
    if before is None or not before.pseudo_dice:
        return str(number), "", ""
    return str(number), f"{before.seconds:.1f}", " ".join(f"{dice:.3f}" for dice in before.pseudo_dice)

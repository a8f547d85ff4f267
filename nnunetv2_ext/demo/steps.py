"""The steps of the demo on the terminal: a progress bar for each."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Steps:
    """A context in which ``step`` adds one bar below the other; where there is no terminal, a line as each one begins."""

    def __init__(self, console: Console, number: int) -> None:
        self._console = console
        self._number = number
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(), console=console
        )

    def __enter__(self) -> "Steps":
        self._bars.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    @contextmanager
    def step(self, title: str, total: int | None) -> Iterator[Callable[[], None]]:
        """A step of so many parts, each of which is reported by calling what this gives; None if nobody knows how many."""
        text = f"{len(self._bars.tasks) + 1}/{self._number} {title}"
        if not self._console.is_interactive:
            self._console.print(text, highlight=False)
        bar = self._bars.add_task(text, total=total)
        yield partial(self._bars.advance, bar)
        # What was counted on the way is a guess from the commands' output; now it is done.
        self._bars.update(bar, total=total or 1, completed=total or 1)

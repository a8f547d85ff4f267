"""The steps of the demo on the terminal: a progress bar for each."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Steps(Progress):
    """Progress bars of numbered steps, one below the other; without a terminal, a line as each step begins."""

    def __init__(self, console: Console, number: int) -> None:
        super().__init__(
            TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(), console=console
        )
        self._number = number

    @contextmanager
    def step(self, title: str, total: int | None) -> Iterator[Callable[[], None]]:
        """A step of ``total`` parts, None if unknown; call what it yields after each part."""
        text = f"{len(self.tasks) + 1}/{self._number} {title}"
        if not self.console.is_interactive:
            self.console.print(text, highlight=False)
        bar = self.add_task(text, total=total)
        yield partial(self.advance, bar)
        # The parts were guessed from the commands' output; now the step is done.
        self.update(bar, total=total or 1, completed=total or 1)

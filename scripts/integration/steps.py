"""Steps of nnU-Net's, each in a process and with a log of its own, and the table of what became of them.

The processes are forked from this one, which has imported torch and nnU-Net already: importing them takes longer than most
steps.
"""

import multiprocessing
import os
import runpy
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal

import click

State = Literal["ok", "failed", "skipped"]


@dataclass
class Step:
    """One row of the table."""

    title: str
    state: State
    seconds: float = 0.0
    log: Path | None = None


class Steps:
    """Runs steps, each in a process and with a log of its own, and keeps what became of them."""

    def __init__(self, logs: Path) -> None:
        self.rows: list[Step] = []
        self._logs = logs
        logs.mkdir()

    def command(self, title: str, command: str, *arguments: object, needs: bool = True, **variables: str) -> bool:
        """One of the commands that nnU-Net installs, with environment variables of its own."""
        words = [command, *(str(argument) for argument in arguments)]

        def run() -> None:
            os.environ.update(variables)
            _run_command(words)

        return self.call(title, run, needs=needs, says=shlex.join(words))

    def module(self, title: str, module: str, *arguments: object, needs: bool = True) -> bool:
        """A module of nnU-Net that is run as a script."""
        words = [module, *(str(argument) for argument in arguments)]
        return self.call(title, lambda: _run_module(words), needs=needs, says=f"python -m {shlex.join(words)}")

    def call(self, title: str, do: Callable[[], object], *, needs: bool = True, says: str = "") -> bool:
        """Calls ``do`` in a process of its own; it fails if it raises. Skipped where what it needs has failed."""
        if not needs:
            self.rows.append(Step(title, "skipped"))
            return False
        log = self._logs / f"{len(self.rows):03d}_{'_'.join(title.split())}.log"
        began = time.monotonic()
        process = multiprocessing.get_context("fork").Process(target=_logged, args=(do, log, says))
        process.start()
        process.join()
        step = Step(title, "failed" if process.exitcode else "ok", time.monotonic() - began, log)
        self.rows.append(step)
        click.echo(f"{step.state:7} {step.seconds:6.1f} s  {title}")
        return step.state == "ok"


def _logged(do: Callable[[], object], log: Path, says: str) -> None:
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    sys.stdout = sys.stderr = os.fdopen(stream, "w", buffering=1)
    print(f"$ {says}")
    try:
        do()
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    finally:
        sys.stdout.flush()


def _run_command(words: list[str]) -> None:
    (command,) = entry_points(group="console_scripts", name=words[0])
    sys.argv = words
    sys.exit(command.load()())


def _run_module(words: list[str]) -> None:
    sys.argv = words
    runpy.run_module(words[0], run_name="__main__")


def print_table(rows: Sequence[Step]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("Step", overflow="fold")
    table.add_column("State")
    table.add_column("Seconds", justify="right")
    for row in rows:
        table.add_row(row.title, row.state, f"{row.seconds:.1f}" if row.log else "")
    Console(highlight=False).print(table)
    for row in rows:
        if row.state == "failed":
            click.echo(f"{row.title}: see {row.log}")

"""Processes that need not import torch, and have none of this process's threads, which don't survive a fork."""

import contextlib
import multiprocessing
import os
import traceback
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

PRELOADED = ["tests.emulation.two_gpus", "tests.trainers.tiny_training"]
"""what the server of processes imports, once"""


def fork_server() -> Any:
    """The context whose processes come from the server."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def start(function: Callable[..., Any], *arguments: Any, log: Path) -> BaseProcess:
    """Starts ``function(*arguments)`` in a process with the variables of this one; it prints into the log.

    Args:
        function: of a module's top level, or a method of such a class, so that the process can import it.
        arguments: picklable.
        log: overwritten.
    """
    process = fork_server().Process(target=_run, args=(function, arguments, log, dict(os.environ)))
    process.start()
    return process


def _run(function: Callable[..., Any], arguments: tuple[Any, ...], log: Path, variables: dict[str, str]) -> None:
    os.environ.update(variables)  # the server has those of the time when it began
    status = 1
    with log.open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        try:
            function(*arguments)
            status = 0
        except BaseException:
            traceback.print_exc(file=file)
    os._exit(status)

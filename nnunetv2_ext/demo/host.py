"""nnU-Net's own commands, run as a user would run them, in folders of the demo's own."""

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from nnunetv2_ext.errors import ExtensionError
from nnunetv2_ext.paths import SHIM, TRAINER_FOLDERS, host_command

LAST_LINES = 20
"""of a command's output, shown if it fails"""


class Host:
    """Runs nnU-Net's commands with its variables set inside ``folder``, whatever the user's are.

    What they print goes to ``log``, and line by line to ``show``.
    """

    def __init__(self, folder: Path, show: Callable[[str], None]) -> None:
        self.raw, self.preprocessed, self.results = (
            folder / name for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
        )
        self.log = folder / "log.txt"
        self.processes = min(os.cpu_count() or 1, 8)
        self._show = show
        self._environment = {
            **os.environ,
            "nnUNet_raw": str(self.raw),
            "nnUNet_preprocessed": str(self.preprocessed),
            "nnUNet_results": str(self.results),
            # Ours first; the user's own trainers stay reachable behind them.
            TRAINER_FOLDERS: os.pathsep.join(filter(None, [str(SHIM), os.environ.get(TRAINER_FOLDERS)])),
            "nnUNet_def_n_proc": str(self.processes),
            "nnUNet_n_proc_DA": str(self.processes),
            # Compiling takes longer than a network this small gains by it.
            "nnUNet_compile": os.environ.get("nnUNet_compile", "false"),
            # For the worker processes, several of which share the cores; the network itself gets them all from nnU-Net.
            "OMP_NUM_THREADS": "1",
            # A thread that waits sleeps instead of spinning, which would take the core from the data loading: several times
            # faster where the machine is busy.
            "OMP_WAIT_POLICY": "PASSIVE",
            "PYTHONUNBUFFERED": "1",
        }
        for path in (self.raw, self.preprocessed, self.results):
            path.mkdir()

    def __call__(
        self, command: str, *arguments: object, each: tuple[str, Callable[[], None]] | None = None, **more: str
    ) -> None:
        """Runs a command to its end.

        Args:
            command: one of nnU-Net's, beside our own Python or on the path.
            arguments: of the command.
            each: a text, and what to do at every line of the command's output that has it.
            more: further variables of its environment.

        Raises:
            ExtensionError: if it isn't found, or fails; the message has the last lines of its output.
        """
        words = [str(argument) for argument in arguments]
        executable = host_command(command)
        if executable is None:
            raise ExtensionError(f"the command {command} is not installed beside {sys.executable}: pip install nnunetv2")
        last: deque[str] = deque(maxlen=LAST_LINES)
        with self.log.open("a", buffering=1, encoding="utf-8") as log:  # by lines, so that it can be followed

            def take(line: str) -> None:
                log.write(line + "\n")
                last.append(line)
                self._show(line)

            take(f"$ {command} {' '.join(words)}")
            with subprocess.Popen(
                [executable, *words],
                env={**self._environment, **more},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
            ) as process:
                for line in process.stdout or ():
                    take(line.rstrip("\n"))
                    if each and each[0] in line:
                        each[1]()
        if process.returncode:
            raise ExtensionError(
                "\n".join([*last, "", f"{command} ended with status {process.returncode}; all it printed is in {self.log}"])
            )

"""nnU-Net's own commands, run as a user would run them, in folders of the demo's own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from nnunetv2_ext.errors import ExtensionError
from nnunetv2_ext.paths import SHIM


class Host:
    """Runs nnU-Net's commands with its four variables set inside ``folder``, whatever the user's are."""

    def __init__(self, folder: Path, console: Console) -> None:
        self.raw, self.preprocessed, self.results = (
            folder / name for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
        )
        self.processes = min(os.cpu_count() or 1, 8)
        self._console = console
        self._environment = {
            **os.environ,
            "nnUNet_raw": str(self.raw),
            "nnUNet_preprocessed": str(self.preprocessed),
            "nnUNet_results": str(self.results),
            "nnUNet_extTrainer": str(SHIM),
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

    def __call__(self, command: str, *arguments: object) -> None:
        """Shows the command and runs it, with its output as it comes.

        Raises:
            ExtensionError: if it isn't found, or fails.
        """
        words = [str(argument) for argument in arguments]
        # Beside our own Python first: a virtual environment works without being activated.
        search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        executable = shutil.which(command, path=search)
        if executable is None:
            raise ExtensionError(f"the command {command} is not installed beside {sys.executable}: pip install nnunetv2")
        self._console.print(f"$ {command} {' '.join(words)}", style="bold green", soft_wrap=True, highlight=False)
        status = subprocess.run([executable, *words], env=self._environment, check=False).returncode
        if status:
            raise ExtensionError(f"{command} ended with status {status}; what it printed above says why.")

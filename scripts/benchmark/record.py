"""One line of JSON per figure, written as it comes, so that a run that is cut off leaves what it measured."""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import torch

from nnunetv2_ext.trainers.run_card import cpu_name
from scripts.benchmark.tables import sections as sections_of

ROOT = Path(__file__).parents[2]
PACKAGES = ("torch", "nnunetv2", "dynamic-network-architectures", "adan-pytorch", "timm", "nnunetv2-ext")


class Record:
    """A file of figures; a new one begins with the machine, the versions, the commit and the command.

    Args:
        file: it is overwritten, unless it has figures of other sections than those that will be measured.
        sections: what will be measured.
        device: what is measured on.
        minutes: how long measuring may take.

    Raises:
        click.UsageError: if figures would be lost that are not measured again.
    """

    def __init__(self, file: Path, sections: Collection[str], device: torch.device, minutes: float) -> None:
        if lost := sorted(sections_of(file).keys() - set(sections)) if file.is_file() else []:
            raise click.UsageError(f"{file} has figures of {', '.join(lost)}, which would be lost: name another --output.")
        self.file = file
        self._end = time.monotonic() + 60 * minutes
        self.problems = 0
        file.write_text(json.dumps({"about": about(device)}) + "\n")

    @property
    def time_is_up(self) -> bool:
        """Whether nothing new should begin."""
        return time.monotonic() > self._end

    def write(self, section: str, figure: str, value: Any, **row: Any) -> None:
        """Adds a figure.

        Args:
            section: which table it belongs to.
            figure: which column; figures of the same name and row are repeated measurements.
            value: a number or a text.
            row: what it was measured on, the table's first columns.
        """
        self.problems += figure == "problem"
        with self.file.open("a") as stream:
            stream.write(json.dumps({"section": section, "row": row, "figure": figure, "value": value}) + "\n")
        click.echo(f"{section}: {', '.join(str(name) for name in row.values())}: {figure} {_short(value)}")


def about(device: torch.device) -> dict[str, Any]:
    """The machine, the versions, the commit and the command."""
    git = ("git", "describe", "--always", "--dirty", "--abbrev=12")
    commit = subprocess.run(git, capture_output=True, text=True, cwd=ROOT, check=False)
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES} | {"cudnn": torch.backends.cudnn.version()},
        "commit": commit.stdout.strip(),
        "command": " ".join(["python -m scripts.benchmark", *sys.argv[1:]]),
    }


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

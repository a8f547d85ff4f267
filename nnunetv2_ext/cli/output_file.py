"""Options that name a file to write."""

import os
from pathlib import Path
from typing import Any

import click


class OutputFile(click.Path):
    """A file in an existing, writable folder; a mistyped path is refused before anything is computed."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path."""
        file = Path(str(super().convert(value, param, ctx)))
        if not file.parent.is_dir():
            self.fail(f"the folder {file.parent} doesn't exist; make it first.", param, ctx)
        if not os.access(file.parent, os.W_OK | os.X_OK):
            self.fail(f"the folder {file.parent} is read-only for you; name a file in another one.", param, ctx)
        return file

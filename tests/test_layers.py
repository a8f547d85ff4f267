"""Imports run downwards and in no circle; the layers are in pyproject.toml."""

from pathlib import Path

from importlinter import cli

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def test_imports_respect_the_layers() -> None:
    assert cli.lint_imports(config_filename=str(PYPROJECT), no_cache=True) == cli.EXIT_STATUS_SUCCESS

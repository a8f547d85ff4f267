"""The command as a user calls it: in this process, or in one of its own."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from nnunetv2_ext.cli import main


@pytest.fixture
def command() -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(main, arguments)


@pytest.fixture
def modules_after() -> Callable[..., set[str]]:
    """The packages that a command imports beside those that Python starts with."""

    def run(*arguments: str) -> set[str]:
        code = (
            "import sys; before = set(sys.modules); from nnunetv2_ext.cli import main; import contextlib, io;\n"
            "with contextlib.redirect_stdout(io.StringIO()):\n"
            f"    main({list(arguments)!r}, standalone_mode=False)\n"
            "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ))
        return set(done.stdout.split())

    return run

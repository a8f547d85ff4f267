"""Options that take several values."""

import click
import pytest
from click.testing import CliRunner

from nnunetv2_ext.cli.multi_value_options import MultiValueCommand


@click.command(cls=MultiValueCommand)
@click.option("-c", "--several", multiple=True)
@click.option("-d", "--one")
@click.option("--flag", is_flag=True)
def echo(several: tuple[str, ...], one: str | None, flag: bool) -> None:
    click.echo(repr((several, one, flag)))


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (["-c", "a", "b", "-d", "x"], (("a", "b"), "x", False)),
        (["--several", "a", "-c", "b", "c", "--flag"], (("a", "b", "c"), None, True)),
        (["-d", "x", "-c", "a"], (("a",), "x", False)),
        ([], ((), None, False)),
    ],
)
def test_values(arguments, values):
    assert CliRunner().invoke(echo, arguments).output == f"{values!r}\n"


@pytest.mark.parametrize("arguments", [["-c"], ["-d", "x", "y"], ["--flag", "x"], ["-c", "a", "--flag", "x"]])
def test_wrong_usage(arguments):
    assert CliRunner().invoke(echo, arguments).exit_code == 2

"""The group: its help, its exit codes, and how little it imports."""

import importlib
import sys

import pytest
from click.testing import CliRunner

import nnunetv2_ext
from nnunetv2_ext.cli import SUBCOMMANDS, main
from nnunetv2_ext.errors import PlanError

LIGHT = {"click", "rich", "nnunetv2_ext", "typing_extensions", "markdown_it", "mdurl", "pygments", "attr"}
DELIVERED = [
    name for name, subcommand in SUBCOMMANDS.items() if importlib.util.find_spec(f"nnunetv2_ext.cli.{subcommand.module}")
]


def test_version(command):
    assert nnunetv2_ext.__version__ in command("--version").output


def test_help_names_every_subcommand(command):
    result = command("--help")
    assert result.exit_code == 0
    assert all(f"\n  {name} " in result.output for name in SUBCOMMANDS)


def test_help_imports_no_subcommand(modules_after):
    assert not modules_after("--help") - set(sys.stdlib_module_names) - LIGHT


@pytest.mark.parametrize("name", DELIVERED)
def test_help_of_a_subcommand(command, name):
    result = command(name, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: main {name}")
    assert "nnUNetv2_ext " in result.output.split("Options:")[1], "one real example"


@pytest.mark.parametrize("name", DELIVERED)
def test_help_of_the_group_says_what_the_subcommand_says(name):
    assert main.get_command(None, name).help.startswith(SUBCOMMANDS[name].summary)


@pytest.mark.parametrize("name", DELIVERED)
def test_help_of_a_subcommand_is_light(modules_after, name):
    assert not modules_after(name, "--help") - set(sys.stdlib_module_names) - LIGHT


@pytest.mark.parametrize("arguments", [["nonsense"], ["list", "--nonsense"], ["env", "nonsense"]])
def test_wrong_usage_exits_with_2(command, arguments):
    assert command(*arguments).exit_code == 2


def test_our_errors_are_a_sentence_and_exit_with_1(monkeypatch):
    def fail(*_arguments: object, **_options: object) -> str:
        raise PlanError("no such plan")

    monkeypatch.setattr("nnunetv2_ext.cli.list.json.dumps", fail)
    result = CliRunner().invoke(main, ["list", "--json"])
    assert result.exit_code == 1
    assert result.output.strip() == "no such plan"

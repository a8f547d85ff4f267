"""The demo's folders and its command; the whole demo is run by scripts/demo.sh."""

from click.testing import CliRunner

from nnunetv2_ext.cli.demo import demo
from nnunetv2_ext.demo.pipeline import EPOCHS, new_folder


def test_every_run_has_a_folder_of_its_own(tmp_path) -> None:
    first, second = new_folder(tmp_path / "demo"), new_folder(tmp_path / "demo")
    assert (first.name, second.name) == ("run_1", "run_2")
    assert first.is_absolute()


def test_help_says_what_the_defaults_are() -> None:
    result = CliRunner().invoke(demo, ["--help"])
    assert result.exit_code == 0
    assert f"{EPOCHS['cpu']} on a CPU, {EPOCHS['cuda']} on a GPU" in " ".join(result.output.split())
    assert "Example: nnUNetv2_ext demo --device cpu" in result.output


def test_usage_error() -> None:
    assert CliRunner().invoke(demo, ["--epochs", "0"]).exit_code == 2

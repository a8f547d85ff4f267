import json

import pytest
from click.testing import CliRunner

from nnunetv2_ext.cli.compare import compare
from tests.comparison.results import CASES, DATASET, write_run
from tests.tiny import make_tiny_dataset


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    for fold in CASES:
        write_run(tmp_path, "nnUNetTrainer", fold, 0.5)
        write_run(tmp_path, "Better", fold, 0.6)
    return tmp_path


def _compare(*arguments: str):
    return CliRunner().invoke(compare, arguments)


@pytest.mark.usefixtures("results")
def test_tables_files_and_reference(tmp_path) -> None:
    files = {name: str(tmp_path / f"table.{name}") for name in ("csv", "markdown", "latex")}
    output = _compare("-d", "5", *(word for name, file in files.items() for word in (f"--{name}", file)))
    assert output.exit_code == 0, output.output
    rows = [line.split() for line in output.stdout.splitlines()]
    assert ["nnUNetTrainer", "0.500", "0.500", "0.500", "0.500", "reference"] in rows
    assert any(row[:4] == ["Better", "0.600", "0.600", "0.600"] for row in rows)
    assert "Every fold was trained once." in output.stdout
    for name, begin in (("csv", "model,metric"), ("markdown", "**Dice**"), ("latex", r"\begin{table}")):
        assert (tmp_path / f"table.{name}").read_text().startswith(begin)


@pytest.mark.usefixtures("results")
def test_files_come_after_what_is_printed_and_are_in_utf8(tmp_path, monkeypatch) -> None:
    encodings = []

    def full_disk(_file, _text, encoding=None) -> None:
        encodings.append(encoding)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full_disk)
    output = _compare("-d", "5", "--markdown", str(tmp_path / "table.md"))
    assert isinstance(output.exception, OSError)
    assert "Every fold was trained once." in output.stdout
    assert encodings == ["utf-8"]


@pytest.mark.usefixtures("results")
def test_json() -> None:
    output = _compare("-d", DATASET, "-tr", "Better", "nnUNetTrainer", "--json")
    content = json.loads(output.stdout)
    assert content["reference"] == "nnUNetTrainer"
    assert content["entries"][1]["estimates"]["dice"]["foreground"]["difference"]["mean"] == pytest.approx(0.1)
    without_stock = json.loads(_compare("-d", "5", "-tr", "Better", "--json").stdout)
    assert without_stock["reference"] == "Better"


def test_other_results_folders(results, tmp_path_factory) -> None:
    other = tmp_path_factory.mktemp("theirs")
    for fold in CASES:
        write_run(other, "Theirs", fold, 0.7)
    output = _compare("-d", "5", "--results", str(results), str(other), "--json")
    assert [entry["name"] for entry in json.loads(output.stdout)["entries"]] == ["nnUNetTrainer", "Better", "Theirs"]


def test_refusals_are_a_sentence(results) -> None:
    write_run(results, "Half", "0", 0.5)
    output = _compare("-d", "5")
    assert output.exit_code == 1
    assert str(output.exception).startswith("Half lacks fold 1") or "Half lacks fold 1" in output.output
    assert _compare("-d", "5", "--allow", "incomplete").exit_code == 0


@pytest.mark.usefixtures("results")
def test_wrong_words() -> None:
    output = _compare("-d", "5", "--allow", "everything")
    assert output.exit_code == 2
    assert "'everything' is none of these. data: models whose datasets differ;" in " ".join(output.stderr.split())
    assert "there is no dataset 6; there are Dataset005_Made" in str(_compare("-d", "6").exception or "")


def test_counts_what_can_be_counted(results, monkeypatch) -> None:
    folders = {name: results / name for name in ("nnUNet_raw", "nnUNet_preprocessed")}
    for name, folder in folders.items():
        monkeypatch.setenv(name, str(folder))
    name = make_tiny_dataset(*folders.values(), preprocess=False)
    (results / DATASET).rename(results / name)
    output = _compare("-d", name, "--count", "--json")
    assert output.exit_code == 0, output.output
    content = json.loads(output.stdout)
    stock, unknown = (entry["cost"] for entry in content["entries"])
    assert stock["parameters"] > 10_000
    assert stock["gflops"] > 0.01
    assert unknown["gflops"] is None
    assert any(note.startswith("The costs of Better could not be counted: ") for note in content["notes"])


@pytest.mark.usefixtures("results")
def test_what_can_not_be_counted_leaves_the_scores(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    output = _compare("-d", "5", "--count", "--csv", str(tmp_path / "table.csv"))
    assert output.exit_code == 0, output.output
    assert "The costs with nnUNetPlans could not be counted: nnUNet_preprocessed is not set" in output.stdout
    assert (tmp_path / "table.csv").is_file()


def test_names_with_brackets_are_printed(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    write_run(tmp_path, "nnUNetTrainer", "0", 0.5, labels={"background": 0, "a [/x]": 1, "b": 2})
    output = _compare("-d", "5")
    assert output.exit_code == 0, output.output
    assert "a [/x]" in output.stdout

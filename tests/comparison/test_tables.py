import csv
import io
import json

import pytest
from rich.console import Console

from nnunetv2_ext.comparison import tables
from nnunetv2_ext.comparison.compare import compare
from nnunetv2_ext.comparison.reading import read_models
from nnunetv2_ext.comparison.scores import DICE
from tests.comparison.results import CASES, CONFIGURATION, DATASET, NAN, write_run


@pytest.fixture
def comparison(tmp_path):
    for fold in CASES:
        write_run(tmp_path, "nnUNetTrainer", fold, 0.5)
        write_run(tmp_path, "nnUNetTrainer_100%", fold, dict.fromkeys(CASES[fold], (0.6, NAN)))
    return compare(read_models([tmp_path], DATASET, CONFIGURATION), [DICE], reference="nnUNetTrainer")


ROW = ["_100%", "0.600", "", "0.600", "0.600 ± 0.000", "+0.1000 [+0.1000, +0.1000]", "6 : 0", "0.031"]


def test_a_row(comparison) -> None:
    table = tables.tables(comparison)[0]
    assert table.header == ["", "organ", "lesion", "foreground", "folds: mean ± sd", "difference", "better : worse", "p"]
    assert table.rows[1] == ROW
    assert table.rows[0][0] == "nnUNetTrainer"
    assert table.best == [{2}, {1, 3}]


def test_markdown(comparison) -> None:
    text = tables.as_markdown(comparison)
    assert "| _100% | **0.600** |  | **0.600** | 0.600 ± 0.000 | +0.1000 [+0.1000, +0.1000] | 6 : 0 | 0.031 |" in text
    assert "- Dice of nnUNetTrainer_100% leaves out" in text


def test_latex(comparison) -> None:
    text = tables.as_latex(comparison)
    assert r"\_100\% & \textbf{0.600} &  & \textbf{0.600} & 0.600 $\pm$ 0.000 &" in text
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    assert "3d_fullres" not in text
    assert r"3d\_fullres" in text


def test_csv(comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(tables.as_csv(comparison))))
    assert [(row["model"], row["class"]) for row in rows[3:]] == [
        ("nnUNetTrainer_100%", name) for name in ("organ", "lesion", "foreground")
    ]
    assert float(rows[5]["pooled"]) == 0.6
    assert float(rows[5]["difference_mean"]) == pytest.approx(0.1)
    assert rows[4]["pooled"] == rows[0]["difference_mean"] == ""


def test_json_has_the_cases_and_no_nan(comparison) -> None:
    content = json.loads(tables.as_json(comparison), parse_constant=pytest.fail)
    entry = content["entries"][1]
    assert entry["estimates"]["dice"]["1"]["per_case"] == [0.6] * 6
    assert entry["estimates"]["dice"]["2"]["pooled"] is None
    assert content["cases"][0] == ["0", CASES["0"][0]]


def test_the_terminal_has_whole_numbers_at_100_columns(comparison) -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    for table in tables.tables(comparison):
        console.print(tables.as_rich(table))
    text = console.export_text()
    assert "[+0.1000, +0.1000]" in text
    assert "…" not in text


@pytest.mark.parametrize(("p", "text"), [(0.0312, "0.031"), (0.0004, "<0.001"), (float("nan"), "")])
def test_p_values(p, text) -> None:
    assert tables.p_value(p) == text

"""The table and the figure."""

import json

import numpy as np
import pytest
from rich.console import Console

from nnunetv2_ext.demo import report
from nnunetv2_ext.demo.nifti import write


@pytest.fixture
def summary(tmp_path):
    def metrics(grey: float, white: float) -> dict:
        return {"1": {"Dice": grey}, "2": {"Dice": white}}

    cases = [("a", (0.5, 0.7)), ("b", (0.7, 0.9))]
    content = {
        "mean": metrics(0.6, 0.8),
        "metric_per_case": [{"prediction_file": f"/x/{name}.nii.gz", "metrics": metrics(*values)} for name, values in cases],
    }
    file = tmp_path / "summary.json"
    file.write_text(json.dumps(content))
    return file


def test_dice(summary) -> None:
    assert report.dice_per_class(summary) == {"grey matter": 0.6, "white matter": 0.8}
    assert report.dice_per_case(summary) == pytest.approx({"a.nii.gz": 0.6, "b.nii.gz": 0.8})


def test_table() -> None:
    scores = {"trained": {"grey matter": 0.6, "white matter": 0.8}, "threshold": {"grey matter": 0.25, "white matter": 0.5}}
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(report.table(scores, 4))
    text = console.export_text()
    assert "Dice on 4 test crops" in text
    cells = [line.replace("│", " ").split() for line in text.splitlines()]
    assert ["trained", "0.600", "0.800", "0.700"] in cells
    assert ["threshold", "0.250", "0.500", "0.375"] in cells


def test_middle_slice_is_coronal_with_the_head_up(tmp_path) -> None:
    volume = np.zeros((2, 5, 3), dtype=np.uint8)
    volume[1, 2, 2] = 7
    write(tmp_path / "case.nii.gz", volume, np.eye(4))
    expected = np.array([[0, 7], [0, 0], [0, 0]])
    assert np.array_equal(report.middle_slice(tmp_path / "case.nii.gz"), expected)


def test_overlay_shows_tissue_and_nothing_on_background() -> None:
    colours = report.overlay(np.array([[0, 1, 2]]))
    assert colours.shape == (1, 3, 4)
    assert colours[0, 0, 3] == 0
    assert colours[0, 1, 3] == colours[0, 2, 3] > 0
    assert not np.array_equal(colours[0, 1], colours[0, 2])


def test_cases_from_the_worst_to_the_best() -> None:
    scores = {"b": 0.2, "e": 0.5, "a": 0.1, "d": 0.4, "c": 0.3}
    assert report.from_worst_to_best(scores, 3) == ["a", "c", "e"]
    assert report.from_worst_to_best(scores, 1) == ["a"]
    assert report.from_worst_to_best(scores, 9) == ["a", "b", "c", "d", "e"]


def test_figure(tmp_path, summary) -> None:
    generator = np.random.default_rng(0)
    for case in ("a", "b"):
        write(tmp_path / "images" / f"{case}_0000.nii.gz", generator.random((8, 4, 8), dtype=np.float32), np.eye(4))
        for folder in ("truth", "prediction"):
            labels = generator.integers(0, 3, (8, 4, 8)).astype(np.uint8)
            write(tmp_path / folder / f"{case}.nii.gz", labels, np.eye(4))
    summary.rename(tmp_path / "prediction" / "summary.json")
    output = tmp_path / "figure.png"
    report.figure(tmp_path / "images", tmp_path / "truth", {"network": tmp_path / "prediction"}, output)
    assert output.read_bytes().startswith(b"\x89PNG")

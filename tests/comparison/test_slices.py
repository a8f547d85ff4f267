import base64
import io

import numpy as np
import pytest
from PIL import Image

from nnunetv2_ext.comparison.slices import COLOURS, legend, most_different
from nnunetv2_ext.errors import ComparisonError, DatasetError
from tests.comparison.pictures import RADII, compared, write_results
from tests.comparison.results import CASES, DATASET


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    write_results(tmp_path / "raw", tmp_path / "results")
    return tmp_path / "results"


def _pixels(uri: str) -> np.ndarray:
    assert uri.startswith("data:image/png;base64,")
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


def test_image_truth_and_both_predictions(results) -> None:
    pictures = most_different(*compared(results))
    assert len(pictures) == 3
    first = pictures[0]
    assert first.case in [case for cases in CASES.values() for case in cases]
    assert first.score > first.reference_score
    assert [panel.caption for panel in first.panels] == ["image", "truth", *RADII]
    images = [_pixels(panel.uri) for panel in first.panels]
    assert len({image.shape for image in images}) == 1
    outlined = [[int((image == colour).all(-1).sum()) for colour in COLOURS[:2]] for image in images]
    assert outlined[0] == [0, 0]
    sizes = [sum(counts) for counts in outlined[1:]]
    assert sizes[0] > sizes[2] > sizes[1] > 0  # outlines of balls of 5, 4.5 and 3 voxels
    assert (images[0][..., 0] == images[0][..., 1]).all()  # grey


def test_cases_that_do_not_differ_have_no_pictures(results) -> None:
    comparison, models = compared(results)
    comparison.entries[1].estimates["dice"]["foreground"].difference.per_case = [0.0] * 5 + [float("nan")]
    assert most_different(comparison, models) == []


def test_missing_images_are_said(results, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    with pytest.raises(DatasetError, match="the pictures of the cases need its images"):
        most_different(*compared(results))


def test_a_damaged_description_is_named(results, tmp_path) -> None:
    (tmp_path / "raw" / DATASET / "dataset.json").write_text('{"labels"')
    with pytest.raises(DatasetError, match=r"dataset\.json is no valid JSON"):
        most_different(*compared(results))


@pytest.mark.parametrize("file", ["imagesTr/{}_0000.nii.gz", "labelsTr/{}.nii.gz"])
def test_a_damaged_image_or_label_is_named(results, tmp_path, file) -> None:
    for name in (case for cases in CASES.values() for case in cases):
        (tmp_path / "raw" / DATASET / file.format(name)).write_bytes(b"damaged")
    with pytest.raises(ComparisonError, match=r"Tr/case_.*\.nii\.gz can't be read, it may be damaged"):
        most_different(*compared(results))


def test_legend_of_labels_and_of_regions() -> None:
    assert [name for name, _ in legend({"labels": {"background": 0, "a": 1, "b": 2, "ignore": 3}})] == ["a", "b"]
    regions = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]}
    assert [name for name, _ in legend({"labels": regions})] == ["whole", "core", "enhancing"]
    assert legend({"labels": {"a": 1}}) == [("a", "rgb(230, 159, 0)")]

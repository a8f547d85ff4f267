"""Surface distances of boxes, whose distances one can see, and of blobs, against scipy's distance transform."""

import numpy as np
import pytest
import SimpleITK
from scipy.ndimage import binary_erosion, distance_transform_edt

from nnunetv2_ext.comparison.reading import read_models
from nnunetv2_ext.comparison.surface import surface_metrics
from nnunetv2_ext.errors import ComparisonError
from tests.comparison.results import CASES, CONFIGURATION, DATASET, LABELS, write_run

pytest.importorskip("monai", reason="the extra 'monai' is not installed")

SPACING = (1.0, 1.0, 3.0)  # x, y, z, as SimpleITK has it


def _write(file, array, spacing=SPACING) -> None:
    image = SimpleITK.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing(spacing)
    SimpleITK.WriteImage(image, str(file))


@pytest.fixture
def run(tmp_path):
    """Three cases: a box moved by two slices of 3 mm; equal blobs with an ignored region; no lesion in the truth."""
    folder = write_run(tmp_path, "A", "0", 0.5, labels={**LABELS, "ignore": 3})
    (tmp_path / "truth").mkdir()
    box, blob = np.zeros((12, 14, 16)), np.zeros((12, 14, 16))
    box[3:6, 3:9, 3:9] = 1
    blob[2:8, 4:9, 5:12] = 2
    ignored = np.where(np.indices(blob.shape)[0] > 9, 3, blob)
    beyond = np.where(np.indices(blob.shape)[0] > 9, 2, blob)
    for case, truth, prediction in zip(CASES["0"], (box, ignored, box), (np.roll(box, 2, 0), beyond, blob), strict=True):
        _write(tmp_path / "truth" / f"{case}.nii.gz", truth)
        _write(folder / "validation" / f"{case}.nii.gz", prediction)
    return read_models([tmp_path], DATASET, CONFIGURATION)[0].finished[0, "0"]


def _metrics(tmp_path, tolerance):
    dataset = {"file_ending": ".nii.gz", "labels": {**LABELS, "ignore": 3}, "channel_names": {"0": "MRI"}}
    return surface_metrics(tmp_path / "truth", dataset, hd95=True, tolerance=tolerance)


def test_distances_are_in_millimetres(run, tmp_path) -> None:
    hd95, nsd = _metrics(tmp_path, 6.0)
    assert hd95.read(run, CASES["0"][0], "1") == pytest.approx(6.0)
    assert nsd.read(run, CASES["0"][0], "1") == pytest.approx(1.0)
    for tolerance, expected in ((4.0, 0.769), (1.0, 0.465)):
        nsd = _metrics(tmp_path, tolerance)[1]
        assert nsd.read(run, CASES["0"][0], "1") == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("spacing", [(0.5, 0.5), (0.7, 2.0)])
def test_an_image_of_two_dimensions_is_flat(tmp_path, spacing) -> None:
    folder, case = write_run(tmp_path, "A", "0", 0.5), CASES["0"][0]
    (tmp_path / "truth").mkdir()
    square = np.zeros((30, 30))
    square[3:27, 3:27] = 1  # in a volume of one slice all of it would be surface, and the moved edge less than 5 % of that
    _write(tmp_path / "truth" / f"{case}.nii.gz", square, spacing)
    _write(folder / "validation" / f"{case}.nii.gz", np.roll(square, 1, 0), spacing)
    run = read_models([tmp_path], DATASET, CONFIGURATION)[0].finished[0, "0"]
    assert _metrics(tmp_path, 1.0)[0].read(run, case, "1") == pytest.approx(spacing[1])


def test_agrees_with_scipy(run, tmp_path) -> None:
    truth, prediction = np.zeros((12, 14, 16), bool), np.zeros((12, 14, 16), bool)
    truth[3:6, 3:9, 3:9] = True
    prediction[2:8, 4:9, 5:12] = True
    surfaces = [mask & ~binary_erosion(mask) for mask in (truth, prediction)]
    distances = [distance_transform_edt(~surface, SPACING[::-1]) for surface in surfaces]
    expected = max(np.percentile(distances[1][surfaces[0]], 95), np.percentile(distances[0][surfaces[1]], 95))
    hd95, _ = _metrics(tmp_path, 1.0)
    assert hd95.read(run, CASES["0"][2], "(1, 2)") == pytest.approx(expected)


def test_what_is_ignored_counts_for_nothing(run, tmp_path) -> None:
    hd95, nsd = _metrics(tmp_path, 1.0)
    assert hd95.read(run, CASES["0"][1], "2") == 0.0
    assert nsd.read(run, CASES["0"][1], "2") == 1.0


def test_empty_masks(run, tmp_path) -> None:
    hd95, nsd = _metrics(tmp_path, 1.0)
    assert np.isnan(hd95.read(run, CASES["0"][2], "1"))  # not in the prediction
    assert nsd.read(run, CASES["0"][2], "1") == 0.0
    assert np.isnan(nsd.read(run, CASES["0"][0], "2"))  # in neither


def test_files_that_are_missing_or_damaged_are_named(run, tmp_path) -> None:
    hd95, nsd = _metrics(tmp_path, 1.0)
    run.prediction(CASES["0"][0]).unlink()
    run.prediction(CASES["0"][1]).write_bytes(b"damaged")
    (tmp_path / "truth" / f"{CASES['0'][2]}.nii.gz").unlink()
    with pytest.raises(ComparisonError, match=r"validation/case_0\.1\.nii\.gz doesn't exist\. .*--val"):
        hd95.read(run, CASES["0"][0], "1")
    with pytest.raises(ComparisonError, match=r"validation/case_0\.2\.nii\.gz can't be read, it may be damaged\. .*--val"):
        nsd.read(run, CASES["0"][1], "1")
    with pytest.raises(ComparisonError, match=r"truth/case_0\.3\.nii\.gz doesn't exist\. .*nnUNetv2_preprocess"):
        hd95.read(run, CASES["0"][2], "1")
    (tmp_path / "truth" / f"{CASES['0'][0]}.nii.gz").write_bytes(b"damaged")
    with pytest.raises(ComparisonError, match=r"truth/case_0\.1\.nii\.gz can't be read"):
        _metrics(tmp_path, 1.0)


def test_needs_the_ground_truth(tmp_path) -> None:
    with pytest.raises(ComparisonError, match="need the ground truth"):
        surface_metrics(tmp_path / "none", {}, hd95=True, tolerance=None)
    assert surface_metrics(tmp_path / "none", {}, hd95=False, tolerance=None) == []

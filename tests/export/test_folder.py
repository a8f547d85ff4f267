"""From a trained model to a folder, and from that to nnU-Net's segmentations."""

import json
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from nnunetv2_ext.errors import ExportError
from nnunetv2_ext.export import folder
from nnunetv2_ext.export.folder import export_folder, new_folder
from nnunetv2_ext.runtime.description import read_description
from nnunetv2_ext.runtime.network import ENGINES, sha256_of
from nnunetv2_ext.runtime.predictor import Predictor
from tests.export.models import Model, make_model, nnunet_predicts, write_image

pytest.importorskip("onnxscript")

MODELS = {
    "folds": Model(plan="2d", folds=("0", "1"), configuration={"spacing": [0.9, 0.7]}),
    "regions": Model(
        trainer="nnUNetTrainerGAB",
        plan="2d",
        labels={"background": 0, "whole": [1, 2], "core": [2]},
        order=[1, 2],
        folds=("all",),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_segments_as_nnunet(name, tmp_path, monkeypatch):
    model = MODELS[name]
    trained = make_model(model, tmp_path, monkeypatch)
    files = write_image(tmp_path / "images", "case", (7, 24, 12), (4.0, 1.0, 1.0))
    nnunet_predicts(trained.folder, files, tmp_path / "nnunet" / "case", model.folds)

    description = export_folder(trained, tmp_path / "exported")
    assert description == read_description(tmp_path / "exported")
    assert {path.name for path in (tmp_path / "exported").iterdir()} == {
        "model.json",
        *(f"fold_{fold}.onnx" for fold in model.folds),
    }
    for fold in description.folds:
        assert fold.sha256 == sha256_of((tmp_path / "exported" / fold.file).read_bytes())
        assert 0 <= fold.largest_difference < 1e-3
    expected = read(tmp_path / "nnunet" / "case.nii.gz")
    assert len(np.unique(expected)) > 1
    for engine in filter(find_spec, ENGINES):
        Predictor(tmp_path / "exported", engine=engine, threads=1).predict_files(files, tmp_path / f"{engine}.nii.gz")
        ours = read(tmp_path / f"{engine}.nii.gz")
        assert (expected == ours).mean() >= 0.999
        for label in np.unique(expected):
            of_both = (expected == label).sum() + (ours == label).sum()
            assert 2 * ((expected == label) & (ours == label)).sum() / of_both >= 0.999


def test_a_folder_with_something_in_it_is_kept(tmp_path, monkeypatch):
    trained = make_model(Model(), tmp_path, monkeypatch)
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match="isn't an empty folder"):
        export_folder(trained, tmp_path / "exported")
    assert [path.name for path in (tmp_path / "exported").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", [".", "empty", "link", "link to nothing", "new/new"])
def test_a_new_folder_may_be_an_empty_one_or_a_link(name, tmp_path, monkeypatch):
    for folder_or_target in ("working", "empty", "target"):
        (tmp_path / folder_or_target).mkdir()
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "link to nothing").symlink_to("nothing")
    monkeypatch.chdir(tmp_path / "working")
    written = Path(name) if name == "." else tmp_path / name
    with new_folder(written) as part:
        (part / "model.json").write_text("{}")
        (part / "page").mkdir()
    assert sorted(path.name for path in written.iterdir()) == ["model.json", "page"]
    assert not list(tmp_path.glob(".*"))


def test_an_empty_folder_stays_empty_if_the_export_fails(tmp_path):
    def fail():
        with new_folder(tmp_path) as part:
            (part / "model.json").write_text("{}")
            raise ExportError("a network that can't be exported")

    with pytest.raises(ExportError):
        fail()
    assert not list(tmp_path.iterdir())


def test_a_new_folder_is_as_private_as_others(tmp_path):
    before = os.umask(0o027)
    try:
        with new_folder(tmp_path / "new"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o750


def test_packages_that_are_missing_are_named(tmp_path, monkeypatch):
    trained = make_model(Model(), tmp_path, monkeypatch)
    monkeypatch.setattr(folder, "find_spec", lambda name: None if name == "onnxscript" else True)
    with pytest.raises(ExportError, match=r"an export needs onnxscript: pip install 'nnunetv2-ext\[export\]'"):
        export_folder(trained, tmp_path / "exported")


def test_nothing_is_left_of_an_export_that_fails(tmp_path, monkeypatch):
    trained = make_model(Model(), tmp_path, monkeypatch)
    plans = json.loads((trained.folder / "plans.json").read_text())
    plans["configurations"]["3d"]["normalization_schemes"] = ["MyNormalization"]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ExportError, match="MyNormalization"):
        export_folder(type(trained)(**{**vars(trained), "plans": plans}), tmp_path / "exported")
    assert sorted(tmp_path.iterdir()) == before


def read(file):
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file)))

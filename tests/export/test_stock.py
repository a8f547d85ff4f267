"""A model of ours as one of a stock trainer: nnU-Net alone finds it, and predicts the same."""

import contextlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from nnunetv2_ext.errors import ExportError
from nnunetv2_ext.export.stock import export_stock, stock_plans
from nnunetv2_ext.export.trained_model import load_model
from nnunetv2_ext.inspection.checkpoint import Checkpoint
from nnunetv2_ext.inspection.model_zip import inspect_file
from nnunetv2_ext.paths import TRAINER_FOLDERS
from nnunetv2_ext.trainers.resolve import any_trainer_class
from tests.export.models import DATASET, LABELS, Model, make_model, nnunet_predicts, write_image

REGIONS = {"labels": {"background": 0, "whole": [1, 2], "core": [2]}, "order": [1, 2]}


@pytest.mark.parametrize(("plan", "regions"), [("2d", False), ("3d", True)])
def test_nnunet_predicts_the_same_without_our_trainers(plan, regions, tmp_path, monkeypatch):
    labels = REGIONS if regions else {}
    model = Model(trainer="nnUNetTrainerEGEUNet", plan=plan, folds=("0", "1"), **labels)
    trained = make_model(model, tmp_path, monkeypatch)
    files = write_image(tmp_path / "images", "case", (3, 18, 10), (1.0, 1.0, 1.0))
    nnunet_predicts(trained.folder, files, tmp_path / "ours" / "case", model.folds)

    run, archive = export_stock(trained, tmp_path / "shared")
    assert run.trainer == "nnUNetTrainer"
    assert run.plans == "nnUNetPlans_EGEUNet"
    monkeypatch.delenv(TRAINER_FOLDERS)
    with zipfile.ZipFile(archive) as unpacked:  # which is all that nnU-Net does to install it
        unpacked.extractall(tmp_path / "other")
    installed = tmp_path / "other" / run.model_folder.relative_to(tmp_path / "shared")
    nnunet_predicts(installed, files, tmp_path / "theirs" / "case", model.folds)
    ours, theirs = (read(tmp_path / name / "case.nii.gz") for name in ("ours", "theirs"))
    assert len(np.unique(ours)) > 1
    np.testing.assert_array_equal(ours, theirs)


def test_the_zip_holds_nothing_suspicious_and_no_optimizer(tmp_path, monkeypatch):
    trained = make_model(Model(trainer="nnUNetTrainerMBTFE"), tmp_path, monkeypatch)
    run, archive = export_stock(trained, tmp_path / "shared")
    parts = inspect_file(archive)
    (checkpoint,) = (part for part in parts.values() if isinstance(part, Checkpoint))
    assert checkpoint.trainer == "nnUNetTrainer"
    assert checkpoint.plans == run.plans == "nnUNetPlans_MBTFE"
    assert checkpoint.plan["architecture"]["network_class_name"] == "nnunetv2_ext.architectures.EGE"
    assert not any(part.suspicious for part in parts.values())
    assert archive.parent == tmp_path / "shared"


def test_the_plans_hold_what_the_configuration_inherits_and_nothing_else(tmp_path, monkeypatch):
    trained = make_model(Model(trainer="nnUNetTrainerEGEUNet"), tmp_path, monkeypatch)
    configurations = trained.plans["configurations"]
    configurations["3d_small_batch"] = {"inherits_from": "3d", "batch_size": 1, "next_stage": "3d_cascade"}
    (trained.folder / "plans.json").write_text(json.dumps(trained.plans))
    trained.folder.rename(trained.folder.with_name("nnUNetTrainerEGEUNet__nnUNetPlans__3d_small_batch"))
    model = load_model(DATASET, "nnUNetTrainerEGEUNet", "nnUNetPlans", "3d_small_batch", ["0"])
    _, plans = stock_plans(model)
    (configuration,) = plans["configurations"].values()
    assert configuration["batch_size"] == 1
    assert configuration["patch_size"] == [8, 8, 8]
    assert not {"inherits_from", "next_stage"} & configuration.keys()


def test_a_stock_model_stays_as_it_is(tmp_path, monkeypatch):
    trained = make_model(Model(), tmp_path, monkeypatch)
    assert stock_plans(trained) == ("nnUNetTrainer", trained.plans)


def test_networks_that_no_plan_describes_are_refused(tmp_path, monkeypatch):
    batch_norm = "nnUNetTrainerMBTFEBN"
    assert any_trainer_class(batch_norm).network_variant
    trained = make_model(Model(trainer=batch_norm, labels=LABELS), tmp_path, monkeypatch)
    with pytest.raises(ExportError, match=r"changes the network while the trainer builds it.*nnUNetv2_export_model_to_zip"):
        export_stock(trained, tmp_path / "shared")
    assert not (tmp_path / "shared").exists()


def test_trainers_of_somebody_else_are_refused(tmp_path, monkeypatch):
    (tmp_path / "trainers").mkdir()
    (tmp_path / "trainers" / "theirs.py").write_text(
        "from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer\n"
        "class nnUNetTrainerTheirs(nnUNetTrainer):\n    pass\n"
    )
    trained = make_model(Model(), tmp_path, monkeypatch)
    monkeypatch.setenv(TRAINER_FOLDERS, str(tmp_path / "trainers"))
    theirs = type(trained)(**{**vars(trained), "trainer": "nnUNetTrainerTheirs"})
    with contextlib.redirect_stdout(io.StringIO()), pytest.raises(ExportError, match="neither of this package nor of nnU-Net"):
        export_stock(theirs, tmp_path / "shared")


def test_a_folder_with_something_in_it_is_kept(tmp_path, monkeypatch):
    trained = make_model(Model(), tmp_path, monkeypatch)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match="isn't an empty folder"):
        export_stock(trained, tmp_path / "shared")
    assert (tmp_path / "shared" / "notes.txt").read_text() == "mine"


def read(file: Path) -> np.ndarray:
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file)))

"""Which models are found and loaded, and what is said of those that aren't."""

import json

import pytest
import torch

from nnunetv2_ext.errors import CheckpointError, DatasetError, ExportError, PlanError, UnknownTrainerError
from nnunetv2_ext.export.trained_model import load_model
from tests.export.models import Model, make_model


def load(**changes):
    given = {"dataset": "9", "trainer": "nnUNetTrainer", "plans": "nnUNetPlans", "configuration": "3d", "folds": ["0"]}
    return load_model(**given | changes)


def test_the_network_of_each_fold_has_its_weights(tmp_path, monkeypatch):
    make_model(Model(folds=("0", "all")), tmp_path, monkeypatch)
    model = load(folds=["0", "all"])
    for fold in ("0", "all"):
        network = model.network(fold)
        assert not network.training
        weights = torch.load(model.folder / f"fold_{fold}" / "checkpoint_final.pth", weights_only=False)["network_weights"]
        assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    assert model.mirror_axes == (0,)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"dataset": "10"}, DatasetError, "no dataset 10"),
        ({"plans": "nnUNetOtherPlans"}, ExportError, "beside it are nnUNetTrainer__nnUNetPlans__3d"),
        ({"folds": ["0", "3"]}, ExportError, r"of fold 3; it has those of fold 0\. Name these with -f"),
        ({"checkpoint": "checkpoint_best.pth"}, ExportError, "no checkpoint_best.pth of fold 0"),
    ],
)
def test_a_model_that_is_not_there(changes, error, text, tmp_path, monkeypatch):
    make_model(Model(), tmp_path, monkeypatch)
    with pytest.raises(error, match=text):
        load(**changes)


@pytest.mark.parametrize(("name", "error"), [("plans.json", PlanError), ("dataset.json", DatasetError)])
def test_a_description_without_content(name, error, tmp_path, monkeypatch):
    (make_model(Model(), tmp_path, monkeypatch).folder / name).write_text("{}")
    with pytest.raises(error, match="no "):
        load()


def test_a_stage_of_a_cascade(tmp_path, monkeypatch):
    model = make_model(Model(), tmp_path, monkeypatch)
    plans = json.loads((model.folder / "plans.json").read_text())
    plans["configurations"]["3d"]["previous_stage"] = "3d_lowres"
    (model.folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(ExportError, match="needs the predictions of 3d_lowres as input, which an exported model can't make"):
        load()


def test_a_checkpoint_that_is_damaged_or_of_another_trainer(tmp_path, monkeypatch):
    file = make_model(Model(), tmp_path, monkeypatch).folder / "fold_0" / "checkpoint_final.pth"
    content = torch.load(file, weights_only=False)
    torch.save({**content, "trainer_name": "nnUNetTrainerEGE"}, file)
    with pytest.raises(CheckpointError, match="written by nnUNetTrainerEGE"):
        load()
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="can't be read as a checkpoint"):
        load()


@pytest.mark.parametrize("trainer", ["nnUNetTrainer", "nnUNetTrainerEGEUNet"])
def test_weights_of_another_network(trainer, tmp_path, monkeypatch):
    model = make_model(Model(trainer=trainer), tmp_path, monkeypatch)
    plans = json.loads((model.folder / "plans.json").read_text())
    kernels = plans["configurations"]["3d"]["architecture"]["arch_kwargs"]["kernel_sizes"]
    kernels[0] = [1, 3, 3]
    (model.folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(CheckpointError, match="weights"):
        load(trainer=trainer).network("0")


def test_a_trainer_that_nobody_has(tmp_path, monkeypatch):
    model = make_model(Model(), tmp_path, monkeypatch)
    folder = model.folder.rename(model.folder.with_name("nnUNetTrainerOfSomebody__nnUNetPlans__3d"))
    file = folder / "fold_0" / "checkpoint_final.pth"
    torch.save({**torch.load(file, weights_only=False), "trainer_name": "nnUNetTrainerOfSomebody"}, file)
    with pytest.raises(UnknownTrainerError, match="no trainer nnUNetTrainerOfSomebody"):
        load(trainer="nnUNetTrainerOfSomebody").network("0")


def test_a_run_that_is_continued_under_a_longer_name(tmp_path, monkeypatch):
    model = make_model(Model(trainer="nnUNetTrainerGAB"), tmp_path, monkeypatch)
    model.folder.rename(model.folder.with_name("nnUNetTrainerGAB_3000epochs__nnUNetPlans__3d"))
    assert load(trainer="nnUNetTrainerGAB_3000epochs").network("0")

"""Models that nnU-Net trained, exported, and their segmentations beside those of nnU-Net's own prediction."""

import contextlib
import io
import json

import numpy as np
import pytest
import SimpleITK
import torch
from nnunetv2.training.logging.nnunet_logger import LocalLogger

from nnunetv2_ext.export.folder import export_folder
from nnunetv2_ext.export.trained_model import load_model
from nnunetv2_ext.paths import SHIM, TRAINER_FOLDERS
from nnunetv2_ext.runtime.predictor import Predictor
from nnunetv2_ext.trainers.resolve import any_trainer_class
from tests.export.models import nnunet_predicts
from tests.tiny import CASES, make_tiny_dataset

pytest.importorskip("onnxscript")


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["nnUNetTrainer", "nnUNetTrainerEGEUNet"])
def test_segments_as_nnunet(trainer, tmp_path, monkeypatch):
    raw, preprocessed, results = (tmp_path / name for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"))
    name = make_tiny_dataset(raw, preprocessed)
    for folder in (raw, preprocessed, results):
        monkeypatch.setenv(folder.name, str(folder))
    monkeypatch.setenv(TRAINER_FOLDERS, str(SHIM))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    monkeypatch.setattr(LocalLogger, "plot_progress_png", lambda *_: None)  # a second of matplotlib each epoch
    _train(trainer, preprocessed / name)

    trained = load_model(name, trainer, "nnUNetPlans", "3d_fullres", ["0"])
    export_folder(trained, tmp_path / "exported")
    predictor = Predictor(tmp_path / "exported", engine="onnxruntime", threads=1)
    for case in CASES[:3]:
        files = [raw / name / "imagesTr" / f"{case}_0000.nii.gz"]
        nnunet_predicts(trained.folder, files, tmp_path / "nnunet" / case, ["0"])
        predictor.predict_files(files, tmp_path / f"{case}.nii.gz")
        ours, theirs = (
            SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(folder / f"{case}.nii.gz")))
            for folder in (tmp_path, tmp_path / "nnunet")
        )
        assert (ours == theirs).mean() >= 0.999
    assert len(np.unique(theirs)) > 1, "the network learned something"


def _train(name, preprocessed):
    """A short epoch, as nnUNetv2_train runs it."""
    plans, dataset = (json.loads((preprocessed / f"{content}.json").read_text()) for content in ("nnUNetPlans", "dataset"))
    torch.manual_seed(0)
    with contextlib.redirect_stdout(io.StringIO()):
        trainer = any_trainer_class(name)({**plans, "continue_training": False}, "3d_fullres", 0, dataset, torch.device("cpu"))
        trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 1, 100, 1
        trainer.run_training()

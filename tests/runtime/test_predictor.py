"""The whole way from an image to a segmentation is that of nnU-Net, whatever the plans say.

The networks are the same torch networks here, so that every difference is the runtime's. ONNX comes in tests/export.
"""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch

from nnunetv2_ext.errors import PredictionError
from nnunetv2_ext.export.description import describe
from nnunetv2_ext.runtime import predictor as module
from nnunetv2_ext.runtime.description import Fold
from nnunetv2_ext.runtime.images import READERS
from nnunetv2_ext.runtime.predictor import Predictor
from tests.export.models import Model, make_model, nnunet_predicts, write_image

ISOTROPIC = {"shape": (11, 12, 14), "spacing": (1.0, 1.0, 1.0)}
THICK = {"shape": (7, 24, 12), "spacing": (4.0, 0.8, 0.8)}
TORCH = {
    f"resampling_fn_{kind}{suffix}": value
    for kind in ("data", "seg", "probabilities")
    for suffix, value in (
        ("", "resample_torch_fornnunet"),
        ("_kwargs", {"is_seg": kind == "seg", "force_separate_z": None, "memefficient_seg_resampling": False}),
    )
}
NO_RESAMPLING = {
    f"resampling_fn_{kind}{suffix}": value
    for kind in ("data", "seg", "probabilities")
    for suffix, value in (("", "no_resampling_hack"), ("_kwargs", {}))
}
CASES = {
    "plain": (Model(mirror_axes=(0, 1, 2)), ISOTROPIC),
    "resampled": (Model(configuration={"spacing": [1.3, 0.8, 0.9]}), ISOTROPIC),
    "smaller than a patch": (Model(), {"shape": (7, 9, 12), "spacing": (1.0, 1.0, 1.0)}),
    "thick slices": (Model(plan="3d_anisotropic", configuration={"spacing": [4.0, 1.0, 1.0]}), THICK),
    "thick slices, other distance": (Model(plan="3d_anisotropic", configuration={"spacing": [3.1, 1.0, 1.0]}), THICK),
    "thick slices, linear along them": (
        Model(
            configuration={
                "spacing": [3.1, 1.0, 1.0],
                "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 1, "force_separate_z": True},
            }
        ),
        THICK,
    ),
    "transposed": (Model(transpose=(2, 0, 1), configuration={"spacing": [1.1, 1.3, 0.8]}), ISOTROPIC),
    "slices": (Model(plan="2d", configuration={"spacing": [0.9, 0.7]}), THICK),
    "slices along another axis": (Model(plan="2d", transpose=(1, 0, 2)), ISOTROPIC),
    "regions": (
        Model(
            labels={"background": 0, "whole": [1, 2, 3], "core": [2, 3], "active": 3},
            order=[1, 2, 3],
            configuration={"spacing": [1.2, 1.0, 1.0]},
        ),
        ISOTROPIC,
    ),
    "ignore label": (Model(labels={"background": 0, "organ": 1, "lesion": 2, "ignore": 3}), ISOTROPIC),
    "folds": (Model(folds=("0", "1", "2"), configuration={"spacing": [1.0, 1.2, 1.0]}), ISOTROPIC),
    "no mirroring": (Model(mirror_axes=None), ISOTROPIC),
    "mirrored along two axes": (Model(mirror_axes=(0, 2)), ISOTROPIC),
    "channels": (
        Model(
            channels=5,
            configuration={
                "normalization_schemes": [
                    "ZScoreNormalization",
                    "CTNormalization",
                    "NoNormalization",
                    "RescaleTo01Normalization",
                    "ZScoreNormalization",
                ],
                "use_mask_for_norm": [True, True, False, False, False],
            },
        ),
        ISOTROPIC,
    ),
    "reoriented": (Model(reader="SimpleITKIOWithReorient"), ISOTROPIC),
    "not resampled": (Model(configuration=NO_RESAMPLING), ISOTROPIC),
    "nibabel": (Model(reader="NibabelIO"), ISOTROPIC),
    "nibabel, reoriented": (Model(reader="NibabelIOWithReorient"), ISOTROPIC),
    "torch": (Model(configuration={**TORCH, "spacing": [1.3, 0.8, 0.9]}), ISOTROPIC),
    "torch, thick slices": (Model(configuration={**TORCH, "spacing": [3.1, 1.0, 1.0]}), THICK),
}
ROUNDED = {"torch", "torch, thick slices"}
"""resampled by torch there, and by scipy here"""


@pytest.mark.parametrize("case", CASES)
def test_segments_as_nnunet(case, tmp_path, monkeypatch):
    model, image = CASES[case]
    trained = make_model(model, tmp_path, monkeypatch)
    files = write_image(tmp_path / "images", "case", **image, channels=model.channels)
    nnunet_predicts(trained.folder, files, tmp_path / "nnunet" / "case", model.folds)

    ours = tmp_path / "case.nii.gz"
    torch_predictor(trained, tmp_path, monkeypatch).predict_files(files, ours)
    expected, segmented = (SimpleITK.ReadImage(str(file)) for file in (tmp_path / "nnunet" / "case.nii.gz", ours))
    labels, same = SimpleITK.GetArrayFromImage(expected), SimpleITK.GetArrayFromImage(segmented)
    assert labels.dtype == same.dtype
    assert {1, 2} <= set(np.unique(labels)), "the network predicts something"
    assert (labels == same).mean() >= (0.999 if case in ROUNDED else 1)
    for what in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(segmented, what)(), getattr(expected, what)(), atol=1e-5, err_msg=what)


def test_without_mirroring(tmp_path, monkeypatch):
    trained = make_model(Model(), tmp_path, monkeypatch)
    files = write_image(tmp_path / "images", "case", **ISOTROPIC)
    nnunet_predicts(trained.folder, files, tmp_path / "nnunet" / "case", ["0"], mirroring=False)
    torch_predictor(trained, tmp_path, monkeypatch, mirroring=False).predict_files(files, tmp_path / "case.nii.gz")
    ours, theirs = (read(tmp_path / name) for name in ("case.nii.gz", "nnunet/case.nii.gz"))
    np.testing.assert_array_equal(ours, theirs)


def test_counts_the_tiles_of_all_folds(tmp_path, monkeypatch):
    trained = make_model(Model(folds=("0", "1")), tmp_path, monkeypatch)
    files = write_image(tmp_path / "images", "case", (8, 8, 15), (1.0, 1.0, 1.0))
    calls = []
    torch_predictor(trained, tmp_path, monkeypatch).predict_files(
        files, tmp_path / "case.nii.gz", lambda *counts: calls.append(counts)
    )
    assert calls == [(done, 6) for done in range(7)]


def test_refuses_logits_that_half_precision_cannot_hold(tmp_path, monkeypatch):
    trained = make_model(Model(), tmp_path, monkeypatch)
    files = write_image(tmp_path / "images", "case", **ISOTROPIC)
    predictor = torch_predictor(trained, tmp_path, monkeypatch)
    predictor.networks = [lambda batch: np.full((1, 3, *batch.shape[2:]), 1e6, np.float32)]
    with pytest.raises(PredictionError, match="not finite"):
        predictor.predict_files(files, tmp_path / "case.nii.gz")
    assert not list(tmp_path.glob("*case.nii.gz"))


@pytest.mark.parametrize("error", [MemoryError, OverflowError])
def test_refuses_what_memory_cannot_hold(error, tmp_path, monkeypatch):
    trained = make_model(Model(), tmp_path, monkeypatch)
    files = write_image(tmp_path / "images", "case", **ISOTROPIC)
    predictor = torch_predictor(trained, tmp_path, monkeypatch)

    def allocate(*_args):
        raise error

    monkeypatch.setattr(module, "preprocess", allocate)
    with pytest.raises(PredictionError, match="11 x 12 x 14 voxels with the spacing 1 x 1 x 1, and needs more memory"):
        predictor.predict_files(files, tmp_path / "case.nii.gz")


def test_refuses_a_model_of_an_unknown_reader(tmp_path, monkeypatch):
    trained = make_model(Model(), tmp_path, monkeypatch)
    torch_predictor(trained, tmp_path, monkeypatch)
    monkeypatch.delitem(READERS, "SimpleITKIO")
    with pytest.raises(PredictionError, match=r"read by SimpleITKIO.*update"):
        Predictor(tmp_path)


def torch_predictor(trained, folder: Path, monkeypatch, **options) -> Predictor:
    """A predictor of the model whose networks are those in torch."""
    networks = {f"fold_{fold}.onnx": trained.network(fold) for fold in trained.checkpoints}

    def load(file: Path, *_args, **_options):
        def network(batch):
            with torch.no_grad():
                return networks[file.name](torch.from_numpy(batch)).numpy()

        return network

    monkeypatch.setattr(module, "load_network", load)
    folds = [Fold(fold, f"fold_{fold}.onnx", "", True, 0.0) for fold in trained.checkpoints]
    describe(trained, folds, 18).write(folder)
    return Predictor(folder, **options)


def read(file: Path) -> np.ndarray:
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file)))

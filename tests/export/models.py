"""Models as nnU-Net's results folders hold them, but with random weights; images for them, and nnU-Net's predictions."""

import contextlib
import io
import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from scipy.ndimage import gaussian_filter

from nnunetv2_ext.export.trained_model import TrainedModel, load_model
from nnunetv2_ext.paths import HOST_FOLDERS, SHIM, TRAINER_FOLDERS
from nnunetv2_ext.trainers.resolve import any_trainer_class
from tests.plans import CONFIGURATIONS, with_open_shortcuts

DATASET = "Dataset009_Noise"
PATCHES = {"2d": [16, 8], "3d": [8, 8, 8], "3d_anisotropic": [4, 16, 8]}
LABELS = {"background": 0, "organ": 1, "lesion": 2}
STATISTICS = {"mean": 0.2, "std": 0.7, "percentile_00_5": -1.0, "percentile_99_5": 1.5}
RESAMPLING = {
    "resampling_fn_data": "resample_data_or_seg_to_shape",
    "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
    "resampling_fn_seg": "resample_data_or_seg_to_shape",
    "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
    "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
    "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None},
}


@dataclass
class Model:
    """What a trained model differs in from the plainest one."""

    trainer: str = "nnUNetTrainer"
    plan: str = "3d"
    labels: dict[str, Any] = field(default_factory=lambda: LABELS)
    order: list[int] | None = None
    folds: Sequence[str] = ("0",)
    channels: int = 1
    mirror_axes: tuple[int, ...] | None = (0,)
    transpose: Sequence[int] = (0, 1, 2)
    reader: str = "SimpleITKIO"
    file_ending: str = ".nii.gz"
    configuration: dict[str, Any] = field(default_factory=dict)
    """what is changed in the configuration of the plans"""

    def plans(self) -> dict[str, Any]:
        configuration = {
            **deepcopy(CONFIGURATIONS[self.plan]),
            **RESAMPLING,
            "patch_size": PATCHES[self.plan],
            "normalization_schemes": ["ZScoreNormalization"] * self.channels,
            "use_mask_for_norm": [False] * self.channels,
            **self.configuration,
        }
        return {
            "dataset_name": DATASET,
            "plans_name": "nnUNetPlans",
            "label_manager": "LabelManager",
            "image_reader_writer": self.reader,
            "transpose_forward": list(self.transpose),
            "transpose_backward": [list(self.transpose).index(axis) for axis in range(3)],
            "foreground_intensity_properties_per_channel": {str(channel): STATISTICS for channel in range(self.channels)},
            "configurations": {self.plan: configuration},
        }

    def dataset_json(self) -> dict[str, Any]:
        content = {
            "channel_names": {str(channel): f"channel {channel}" for channel in range(self.channels)},
            "labels": self.labels,
            "file_ending": self.file_ending,
        }
        return content if self.order is None else {**content, "regions_class_order": self.order}


def make_model(model: Model, root: Path, monkeypatch: pytest.MonkeyPatch) -> TrainedModel:
    """Writes the model into nnU-Net's results below ``root``, as a training would, and loads it."""
    for variable, value in variables(root).items():
        monkeypatch.setenv(variable, value)
    return write_model(model, root)


def variables(root: Path) -> dict[str, str]:
    """nnU-Net's variables for folders below ``root``, which are made."""
    folders = {variable: root / variable for variable in HOST_FOLDERS}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    return {**{variable: str(folder) for variable, folder in folders.items()}, TRAINER_FOLDERS: str(SHIM)}


def write_model(model: Model, root: Path) -> TrainedModel:
    """The same where nnU-Net's variables are set."""
    plans, dataset = model.plans(), model.dataset_json()
    if PlansManager(plans).get_label_manager(dataset).has_regions:
        plans["configurations"][model.plan]["region_based"] = True  # as our trainers write it
    folder = root / "nnUNet_results" / DATASET / f"{model.trainer}__nnUNetPlans__{model.plan}"
    for seed, fold in enumerate(model.folds):
        (folder / f"fold_{fold}").mkdir(parents=True)
        checkpoint = {
            "network_weights": _network(model, seed).state_dict(),
            "trainer_name": model.trainer,
            "inference_allowed_mirroring_axes": model.mirror_axes,
            "init_args": {"plans": plans, "configuration": model.plan, "fold": fold, "dataset_json": dataset},
            "current_epoch": 1,
            "_best_ema": 0.5,
        }
        torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    return load_model(DATASET, model.trainer, "nnUNetPlans", model.plan, list(model.folds))


def _network(model: Model, seed: int) -> torch.nn.Module:
    """Random weights whose logits have a mean of zero for every class, so that all of them are predicted."""
    plans = PlansManager(model.plans())
    configuration = plans.get_configuration(model.plan)
    heads = plans.get_label_manager(model.dataset_json()).num_segmentation_heads
    torch.manual_seed(seed)
    network = any_trainer_class(model.trainer).build_network_architecture(plans, configuration, model.channels, heads, False)
    with_open_shortcuts(network).eval()
    with torch.no_grad():
        logits = network(torch.randn(2, model.channels, *configuration.patch_size))
        last = network.decoder.seg_layers[-1]
        scale = 3 / logits.std()
        last.weight *= scale
        last.bias *= scale
        last.bias -= scale * logits.mean([0, *range(2, logits.ndim)])
    return network


def write_image(folder: Path, case: str, shape: Sequence[int], spacing: Sequence[float], *, channels: int = 1) -> list[Path]:
    """A smooth random image ``(z, y, x)`` with zeros around it, turned in space, one file per channel."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(len(case))
    files = []
    for channel in range(channels):
        array = gaussian_filter(random.normal(size=shape), 1).astype(np.float32) * 4
        array[:2] = array[:, -3:] = 0
        image = SimpleITK.GetImageFromArray(array)
        image.SetSpacing([float(size) for size in reversed(spacing)])
        image.SetOrigin((3.0, -5.0, 7.5))
        image.SetDirection((0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
        files.append(folder / f"{case}_{channel:04d}.nii.gz")
        SimpleITK.WriteImage(image, str(files[-1]))
    return files


def nnunet_predicts(folder: Path, files: Sequence[Path], output: Path, folds: Sequence[str], *, mirroring: bool = True) -> None:
    """What ``nnUNetv2_predict -device cpu -npp 0 -nps 0`` does for one case; ``output`` has no file ending."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.redirect_stdout(io.StringIO()):
        predictor = nnUNetPredictor(device=torch.device("cpu"), use_mirroring=mirroring, allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(folder), tuple(folds))
        predictor.predict_from_files_sequential([[str(file) for file in files]], [str(output)])

"""Trainers on tiny plans, without preprocessed data."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from nnunetv2_ext.trainers.resolve import any_trainer_class
from tests.plans import CONFIGURATIONS

LABELS = {"background": 0, "organ": 1, "lesion": 2}
REGIONS = {"background": 0, "whole": [1, 2], "core": [2]}


def make_trainer(
    name: str,
    folder: Path,
    monkeypatch: Any,
    *,
    plan: str = "3d",
    labels: dict[str, Any] | None = None,
    continue_training: bool = False,
) -> Any:
    """A trainer by its name, ours or a stock one."""
    for variable in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (folder / variable).mkdir(exist_ok=True)
        monkeypatch.setenv(variable, str(folder / variable))
    preprocessed = folder / "nnUNet_preprocessed" / "Dataset999_Tiny" / CONFIGURATIONS[plan]["data_identifier"]
    preprocessed.mkdir(parents=True, exist_ok=True)
    (preprocessed / "case.b2nd").write_text("no data")  # from which the host infers the kind of its dataset
    plans = {
        "dataset_name": "Dataset999_Tiny",
        "plans_name": "nnUNetPlans",
        "label_manager": "LabelManager",
        "configurations": deepcopy(CONFIGURATIONS),
        "continue_training": continue_training,
    }
    dataset = {"channel_names": {"0": "MRI"}, "labels": labels or LABELS, "file_ending": ".nii.gz"}
    if labels is REGIONS:
        dataset["regions_class_order"] = [1, 2]
    return any_trainer_class(name)(plans, plan, 0, dataset, torch.device("cpu"))


def batch(trainer: Any, *, ignore: int | None = None) -> dict[str, Any]:
    """Random data and targets in the form of the host's data loader."""
    torch.manual_seed(0)
    patch = trainer.configuration_manager.patch_size
    heads = trainer.label_manager.num_segmentation_heads
    scales = trainer._get_deep_supervision_scales() or [[1.0] * len(patch)]
    sizes = [[round(p * s) for p, s in zip(patch, scale, strict=True)] for scale in scales]
    if trainer.label_manager.has_regions:
        target = [torch.randint(0, 2, (2, heads, *size)).bool() for size in sizes]
    else:
        target = [torch.randint(0, heads, (2, 1, *size)).to(torch.int16) for size in sizes]
        if ignore is not None:
            for one in target:
                one[:, :, :3] = ignore
    data = torch.randn(2, trainer.num_input_channels, *patch)
    return {"data": data, "target": target if trainer.enable_deep_supervision else target[0]}

"""A dataset in nnU-Net's three folders that nothing is wrong with, so that a test can do something to it."""

import json
import zipfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import SimpleITK
import torch

from tests.plans import CONFIGURATIONS

NAME = "Dataset007_Sound"
LABELS = {"background": 0, "organ": 1, "lesion": 2}
PLANS = {
    "dataset_name": NAME,
    "plans_name": "nnUNetPlans",
    "label_manager": "LabelManager",
    "configurations": {
        "2d": CONFIGURATIONS["2d"],
        "3d_fullres": CONFIGURATIONS["3d"],
        "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "2d"},
    },
}
MODEL = "nnUNetTrainerEGE__nnUNetPlans__2d"


class SoundDataset:
    """Two cases of two channels, preprocessed for two configurations, and a checkpoint."""

    def __init__(self, parent: Path) -> None:
        self.raw, self.preprocessed, self.results = (
            parent / folder / NAME for folder in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
        )
        self.checkpoint = self.results / MODEL / "fold_0" / "checkpoint_final.pth"
        self.description = {
            "channel_names": {"0": "T1", "1": "T2"},
            "labels": LABELS,
            "numTraining": 2,
            "file_ending": ".nii.gz",
        }
        self.plans = deepcopy(PLANS)
        for case in ("a", "b"):
            self.image(f"imagesTr/{case}_0000", np.zeros((3, 4, 5), np.float32))
            self.image(f"imagesTr/{case}_0001", np.ones((3, 4, 5), np.float32))
            self.image(f"labelsTr/{case}", np.tile(np.uint8([0, 1, 2, 1, 0]), (3, 4, 1)))
        for configuration in ("2d", "3d"):
            folder = self.preprocessed / f"nnUNetPlans_{configuration}"
            folder.mkdir(parents=True)
            for case in ("a", "b"):
                for part in (case, f"{case}_seg"):
                    blosc2.asarray(np.zeros((1, 3, 4, 5), np.float32), urlpath=str(folder / f"{part}.b2nd"))
                (folder / f"{case}.pkl").write_bytes(b"properties")
        fingerprint = {"spacings": [[1, 1, 1]], "shapes_after_crop": [[3, 4, 5]], "median_relative_size_after_cropping": 1}
        self.write("preprocessed/dataset_fingerprint.json", {**fingerprint, "foreground_intensity_properties_per_channel": {}})
        self.write("preprocessed/splits_final.json", [{"train": ["a"], "val": ["b"]}, {"train": ["b"], "val": ["a"]}])
        self.checkpoint.parent.mkdir(parents=True)
        torch.save({"trainer_name": "nnUNetTrainerEGE"}, self.checkpoint)
        self.write_descriptions()

    def write(self, name: str, content: Any) -> None:
        """A JSON file below one of the three folders."""
        folder, file = name.split("/", 1)
        (getattr(self, folder) / file).write_text(json.dumps(content))

    def write_descriptions(self) -> None:
        for name in ("raw/dataset.json", "preprocessed/dataset.json", f"results/{MODEL}/dataset.json"):
            self.write(name, self.description)
        for name in ("preprocessed/nnUNetPlans.json", f"results/{MODEL}/plans.json"):
            self.write(name, self.plans)

    def image(self, name: str, voxels: np.ndarray, spacing: tuple[float, ...] = (1, 1, 1)) -> Path:
        file = self.raw / f"{name}.nii.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        image = SimpleITK.GetImageFromArray(voxels)
        image.SetSpacing(spacing)
        SimpleITK.WriteImage(image, str(file))
        return file

    def label(self, value: int) -> None:
        self.image("labelsTr/a", np.full((3, 4, 5), value, np.uint8))


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def zip_up(file: Path) -> None:
    """Makes it a zip that holds it."""
    content = file.read_bytes()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(file.name, content)


Fault = Callable[[SoundDataset], object]


def describe(**changes: Any) -> Fault:
    """dataset.json with something else in it, or without it where it is None."""

    def do(dataset: SoundDataset) -> None:
        changed = {**dataset.description, **changes}
        dataset.description = {key: value for key, value in changed.items() if value is not None}
        dataset.write_descriptions()

    return do


def plan(configuration: str, *, architecture: dict[str, Any] | None = None, **changes: Any) -> Fault:
    """Plans with something else in a configuration, or in its arch_kwargs; without it where it is None."""

    def do(dataset: SoundDataset) -> None:
        for target, new in (
            (dataset.plans["configurations"][configuration], changes),
            (dataset.plans["configurations"][configuration].get("architecture", {}).get("arch_kwargs", {}), architecture or {}),
        ):
            target.update(new)
            for key in [key for key, value in new.items() if value is None]:
                del target[key]
        dataset.write_descriptions()

    return do

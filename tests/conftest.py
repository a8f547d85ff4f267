"""The host's variables, and a dataset as small as the host's planner takes it, in folders of its own."""

import contextlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hypothesis import settings

from nnunetv2_ext.paths import HOST_FOLDERS, PRESET_FOLDERS, SHIM, TRAINER_FOLDERS

os.environ.pop(PRESET_FOLDERS, None)  # presets of whoever runs the tests
settings.register_profile("tests", deadline=None)  # a machine may be busy
settings.load_profile("tests")


class Dataset:
    """Two channels, two foreground classes; the fingerprint says that there are many images, so a batch may be large."""

    name = "Dataset007_Tiny"

    def __init__(self, raw: Path, preprocessed: Path) -> None:
        self.raw, self.preprocessed = raw / self.name, preprocessed / self.name
        for folder in (self.raw / "imagesTr", self.raw / "labelsTr", self.preprocessed):
            folder.mkdir(parents=True)
        for file in ("imagesTr/case_0000", "imagesTr/case_0001", "labelsTr/case"):
            image = SimpleITK.GetImageFromArray(np.zeros((4, 4, 4), np.uint8))
            SimpleITK.WriteImage(image, str(self.raw / f"{file}.nii.gz"))
        self.describe(labels={"background": 0, "a": 1, "b": 2})
        self.fingerprint(shape=[64, 64, 64], spacing=[1.0, 1.0, 1.0])

    def describe(self, **changes: object) -> None:
        """dataset.json"""
        channels = {"0": "MRI", "1": "MRI"}
        content = {"channel_names": channels, "numTraining": 1000, "file_ending": ".nii.gz", **changes}
        for folder in (self.raw, self.preprocessed):
            (folder / "dataset.json").write_text(json.dumps(content))

    def fingerprint(self, shape: list[int], spacing: list[float]) -> None:
        """dataset_fingerprint.json of images that are all alike"""
        content = {
            "spacings": [spacing] * 3,
            "shapes_after_crop": [shape] * 3,
            "median_relative_size_after_cropping": 1.0,
            "foreground_intensity_properties_per_channel": {},
        }
        (self.preprocessed / "dataset_fingerprint.json").write_text(json.dumps(content))

    def plan_stock(self, gpu_memory: float = 8) -> dict:
        """The host's own plans."""
        from nnunetv2.experiment_planning.plan_and_preprocess_api import plan_experiment_dataset

        with contextlib.redirect_stdout(io.StringIO()):
            return plan_experiment_dataset(self.name, gpu_memory_target_in_gb=gpu_memory)[0]


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    for name in HOST_FOLDERS:
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    return Dataset(tmp_path / "nnUNet_raw", tmp_path / "nnUNet_preprocessed")


@pytest.fixture
def clean_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*HOST_FOLDERS, TRAINER_FOLDERS):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def whole_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in HOST_FOLDERS:
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv(TRAINER_FOLDERS, str(SHIM))

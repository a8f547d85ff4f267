"""The dataset that nnU-Net makes its integration datasets from: a user's, or a small synthetic one."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK

SOURCE = "Dataset004_Hippocampus"
TEST_CASES = 2


def write_synthetic_source(raw: Path, cases: int) -> None:
    """A dataset like Hippocampus at half its size: two ellipsoids, one behind the other, in noise."""
    folder = raw / SOURCE
    for number in range(cases + TEST_CASES):
        random = np.random.default_rng(number)
        shape = tuple(int(size) for size in random.integers((14, 20, 14), (19, 27, 19)))
        grid = np.moveaxis(np.indices(shape), 0, -1) / np.array(shape) - 0.5
        labels = np.zeros(shape, np.uint8)
        for label, centre in ((1, -0.15), (2, 0.15)):
            labels[(((grid - (0, centre, 0)) / (0.2, 0.25, 0.2)) ** 2).sum(-1) < 1] = label
        image = random.uniform(50, 5000) * (0.5 + 0.2 * labels + 0.1 * random.standard_normal(shape))
        name, kind = f"hippocampus_{number:03d}", "Tr" if number < cases else "Ts"
        _write(folder / f"images{kind}" / f"{name}_0000.nii.gz", image.astype(np.float32))
        if kind == "Tr":
            _write(folder / "labelsTr" / f"{name}.nii.gz", labels)
    labels_by_name = {"background": 0, "Anterior": 1, "Posterior": 2}
    _describe(folder, {"channel_names": {"0": "MRI"}, "labels": labels_by_name, "file_ending": ".nii.gz"}, cases)


def copy_source(source: Path, raw: Path, cases: int) -> None:
    """The first cases of a Dataset004_Hippocampus, labelled and unlabelled."""
    folder = raw / SOURCE
    description = json.loads((source / "dataset.json").read_text())
    labels = sorted((source / "labelsTr").iterdir())[:cases]
    training = [source / "imagesTr" / label.name.replace(".nii.gz", "_0000.nii.gz") for label in labels]
    for kind, files in {"labelsTr": labels, "imagesTr": training, "imagesTs": sorted((source / "imagesTs").iterdir())}.items():
        (folder / kind).mkdir(parents=True)
        for file in files[: TEST_CASES if kind == "imagesTs" else cases]:
            shutil.copy(file, folder / kind)
    _describe(folder, description, len(labels))


def _write(file: Path, voxels: np.ndarray[Any, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(voxels), str(file))


def _describe(folder: Path, description: dict[str, Any], cases: int) -> None:
    (folder / "dataset.json").write_text(json.dumps({**description, "numTraining": cases}, indent=2))

"""The dataset in nnU-Net's raw format."""

import filecmp
import json

import numpy as np

from nnunetv2_ext.demo.dataset import NAME, write_dataset
from nnunetv2_ext.demo.nifti import read


def test_layout_and_determinism(tmp_path, template) -> None:
    first, second = (write_dataset(tmp_path / name, template) for name in ("first", "second"))
    assert first.name == NAME
    description = json.loads((first / "dataset.json").read_text())
    assert description["labels"] == {"background": 0, "grey matter": 1, "white matter": 2}
    for kind, count in (("Tr", description["numTraining"]), ("Ts", 17)):
        images, labels = (sorted((first / f"{name}{kind}").iterdir()) for name in ("images", "labels"))
        assert len(images) == len(labels) == count
        for image, label in zip(images, labels, strict=True):
            assert image.name == label.name.replace(".nii.gz", "_0000.nii.gz")
            (voxels, affine), (classes, other) = read(image), read(label)
            assert voxels.shape == classes.shape
            assert np.array_equal(affine, other)
            assert voxels.dtype == np.float32
            assert np.unique(classes).tolist() == [0, 1, 2]
            assert np.array_equal(voxels, read(second / image.relative_to(first))[0])
    assert filecmp.cmp(first / "dataset.json", second / "dataset.json", shallow=False)


def test_a_crop_lies_where_it_was_cut(tmp_path, template) -> None:
    folder = write_dataset(tmp_path, template)
    _, affine = read(folder / "labelsTs" / "test_00.nii.gz")
    assert affine[:3, 3].tolist() == [32 - 98, 58 - 134, 44 - 72], "the corner in the template's millimetres"

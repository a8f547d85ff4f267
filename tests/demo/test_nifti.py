"""Reading and writing volumes."""

import numpy as np
import pytest

from nnunetv2_ext.demo.nifti import read, write


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_is_written_is_read(tmp_path, dtype) -> None:
    voxels = np.arange(24).reshape(2, 3, 4).astype(dtype)
    affine = np.array([[0, 2.0, 0, -7], [1, 0, 0, 5], [0, 0, 3, 0], [0, 0, 0, 1]])
    write(tmp_path / "new" / "volume.nii.gz", voxels, affine)
    got, placed = read(tmp_path / "new" / "volume.nii.gz")
    assert got.dtype == dtype
    assert np.array_equal(got, voxels)
    assert np.array_equal(placed, affine)

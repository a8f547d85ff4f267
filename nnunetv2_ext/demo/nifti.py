"""Reading and writing volumes."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray


def read(file: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """The voxels, as they are stored, and the affine that puts them into space."""
    volume = nibabel.Nifti1Image.from_filename(file)
    return np.asarray(volume.dataobj), np.asarray(volume.affine)


def write(file: Path, voxels: NDArray[Any], affine: NDArray[Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(voxels, affine).to_filename(file)

"""Labelled crops of a real brain: the MNI152 template, which nilearn's wheel carries. Nothing is downloaded.

The template is the average of 152 heads, symmetric from left to right, at 1 mm, with maps of how probable grey and white matter
are. Crops are cut from one hemisphere, since the other is its mirror image. Along the axis from back to front, slabs for
training and for testing take turns with a gap between them, so no voxel, nor its mirror image, is in both.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnunetv2_ext.demo.nifti import read
from nnunetv2_ext.errors import ExtensionError

LABELS = {"background": 0, "grey matter": 1, "white matter": 2}

EDGE = 24
"""voxels along each side of a crop"""
BACKS = (30, 58, 86, 114, 142, 170)
"""where crops begin from back to front; then from the bottom up, and from the side to the plane of symmetry"""
TRAINING_BOTTOMS = (8, 20, 32, 44, 56, 68, 80, 92, 104, 116)
TRAINING_SIDES = (32, 48, 64)
TEST_BOTTOMS = (20, 44, 68, 92)
TEST_SIDES = (32, 56)
MOST_BACKGROUND = 0.5
"""the share above which a crop is left out: in a patch of nothing but air there is nothing to go by"""


@dataclass(frozen=True)
class Crop:
    """A box of the template: its first corner, its T1 intensities from 0 to 1, and its labels."""

    corner: tuple[int, int, int]
    image: NDArray[np.float32]
    labels: NDArray[np.uint8]

    @property
    def box(self) -> tuple[slice, ...]:
        return tuple(slice(start, start + size) for start, size in zip(self.corner, self.image.shape, strict=True))


@dataclass(frozen=True)
class Template:
    """The whole head: T1 intensities from 0 to 1, the most probable tissue of each voxel, and where the voxels lie in mm."""

    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    affine: NDArray[np.float64]

    def cut(self, corner: tuple[int, int, int], shape: tuple[int, int, int]) -> Crop:
        box = tuple(slice(start, start + size) for start, size in zip(corner, shape, strict=True))
        return Crop(corner, self.image[box], self.labels[box])


def load_template() -> Template:
    """Reads the template from the installed nilearn, which is not imported.

    Raises:
        ExtensionError: if nilearn is not installed, or without its template.
    """
    nilearn = find_spec("nilearn")
    if nilearn is None or not nilearn.submodule_search_locations:
        raise ExtensionError('The demo cuts its data from nilearn, which is not installed: pip install "nnunetv2-ext[demo]"')
    folder = Path(nilearn.submodule_search_locations[0], "datasets", "data")
    files = {name: folder / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz" for name in ("t1", "gm", "wm")}
    missing = [file.name for file in files.values() if not file.is_file()]
    if missing:
        raise ExtensionError(
            f"{folder} has no {', '.join(missing)}, of which the demo makes its data: another nilearn has it, install one with "
            'pip install --force-reinstall "nnunetv2-ext[demo]"'
        )
    _, affine = read(files["t1"])
    image, grey, white = ((read(files[name])[0] / 255).astype(np.float32) for name in ("t1", "gm", "wm"))
    labels = np.stack([1 - grey - white, grey, white]).argmax(0).astype(np.uint8)
    return Template(image, labels, affine)


def training_crops(template: Template) -> list[Crop]:
    """The crops of every other slab. Those beside each other overlap."""
    return _crops(template, product(TRAINING_SIDES, BACKS[::2], TRAINING_BOTTOMS))


def held_out_crops(template: Template) -> list[Crop]:
    """The crops of the slabs in between, to test on."""
    return _crops(template, product(TEST_SIDES, BACKS[1::2], TEST_BOTTOMS))


def _crops(template: Template, corners: Iterable[tuple[int, int, int]]) -> list[Crop]:
    crops = [template.cut(corner, (EDGE, EDGE, EDGE)) for corner in corners]
    return [crop for crop in crops if np.mean(crop.labels == 0) <= MOST_BACKGROUND]

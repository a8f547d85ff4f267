"""Reading images and writing segmentations, by the names of nnU-Net's readers.

SimpleITK also stands in for nibabel, which nnU-Net can read NIfTI with: both give the same voxels. Images whose axes are not at
right angles, which nibabel reads, are refused by SimpleITK.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nnunetv2_ext.errors import PredictionError

UNIT_OF_LENGTH = 7
"""which bits of a NIfTI file's units"""
PER_MILLIMETRE = {1: 0.001, 3: 1000.0}
"""metres and micrometres"""


@dataclass(frozen=True)
class Image:
    """An image of one case, all channels."""

    array: NDArray[np.float32]
    """``(C, z, y, x)``; the z of a 2D image is one slice"""
    spacing: tuple[float, ...]
    """of z, y and x"""
    geometry: Any = None
    """what the reader needs to write a segmentation of the image"""


class Reader(Protocol):
    """Reads and writes images of some kinds."""

    def read(self, files: Sequence[Path]) -> Image:
        """All channels of one case."""

    def write(self, segmentation: NDArray[np.unsignedinteger], file: Path, image: Image) -> None:
        """A segmentation ``(z, y, x)`` in the geometry of the image."""


def cases(folder: Path, file_ending: str) -> dict[str, list[Path]]:
    """The files of each case in a folder, ``CASE_0000.nii.gz`` and so on, by channel; sorted by case."""
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        stem = file.name.removesuffix(file_ending)
        name, _, channel = stem.rpartition("_")
        if file.name.endswith(file_ending) and name and len(channel) == 4 and channel.isdecimal():
            found.setdefault(name, []).append(file)
    return found


def read_case(reader: str, files: Sequence[Path], channels: int) -> Image:
    """All channels of one case.

    Raises:
        PredictionError: if a file can't be read, has no usable spacing, or together they aren't the channels of one image.
    """
    try:
        image = READERS[reader].read(files)
    except PredictionError:
        raise
    except Exception as error:  # each library has errors of its own for files that are damaged or of another kind
        raise PredictionError(f"{' and '.join(map(str, files))} can't be read: {_reason(error)}") from error
    if image.array.shape[0] != channels:
        raise PredictionError(
            f"{' and '.join(map(str, files))} have {image.array.shape[0]} channels, need {channels}, as the model was trained: "
            "put all of them into the folder, as CASE_0000, CASE_0001, ..."
        )
    if len(image.spacing) != 3 or not all(isinstance(size, (int, float)) and 0 < size < inf for size in image.spacing):
        raise PredictionError(
            f"{files[0]} has the spacing {image.spacing}, need three positive numbers: correct it in the image's header, or in "
            "the JSON file beside a TIFF"
        )
    return image


def write_segmentation(reader: str, segmentation: NDArray[np.unsignedinteger], file: Path, image: Image) -> None:
    """Writes a segmentation, whole or not at all, in the geometry of its image.

    Raises:
        PredictionError: if it can't be written.
    """
    largest = segmentation.max(initial=0)
    part = file.with_name(f".part_{file.name}")
    try:
        READERS[reader].write(segmentation.astype(np.uint8 if largest < 255 else np.uint16), part, image)
        os.replace(part, file)
    except Exception as error:  # of each library, as in reading
        raise PredictionError(
            f"{file} can't be written: {_reason(error)}. Make room on the disk, or name a folder that you can write to"
        ) from error
    finally:
        part.unlink(missing_ok=True)


class ITKReader:
    """Whatever SimpleITK reads in three dimensions or two.

    Args:
        orientation: what images are turned to before the network sees them, such as ``RAS``.
        as_nibabel: whether a NIfTI file's spacing is in the file's own unit, as nibabel gives it, or in millimetres.
    """

    def __init__(self, orientation: str = "", *, as_nibabel: bool = False) -> None:
        self.orientation, self.as_nibabel = orientation, as_nibabel

    def read(self, files: Sequence[Path]) -> Image:
        import SimpleITK as sitk  # noqa: N813

        images = [sitk.ReadImage(str(file)) for file in files]
        first, factor = images[0], 1.0
        if self.as_nibabel and first.HasMetaDataKey("xyzt_units"):
            factor = PER_MILLIMETRE.get(int(first.GetMetaData("xyzt_units")) & UNIT_OF_LENGTH, 1.0)
        original = ""
        if self.orientation:
            original = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(first.GetDirection())
            images = [sitk.DICOMOrient(image, self.orientation) for image in images]
        arrays = [sitk.GetArrayFromImage(image) for image in images]
        for file, array in zip(files, arrays, strict=True):
            if array.ndim not in (2, 3):
                raise PredictionError(f"{file} has {array.ndim} axes, need 3 (or 2): split it into one file per channel")
        _check_same("size", files, [array.shape for array in arrays])
        _check_same("spacing", files, [image.GetSpacing() for image in images])
        spacing = tuple(abs(size) * factor for size in reversed(images[0].GetSpacing()))
        if len(spacing) == 2:
            arrays, spacing = [array[None] for array in arrays], (max(spacing) * 999, *spacing)
        return Image(np.stack(arrays, dtype=np.float32, casting="unsafe"), spacing, (images[0], original))

    def write(self, segmentation: NDArray[np.unsignedinteger], file: Path, image: Image) -> None:
        import SimpleITK as sitk  # noqa: N813

        read, original = image.geometry
        written = sitk.GetImageFromArray(segmentation if read.GetDimension() == 3 else segmentation[0])
        written.SetSpacing(read.GetSpacing())
        written.SetOrigin(read.GetOrigin())
        written.SetDirection(read.GetDirection())
        if original:
            written = sitk.DICOMOrient(written, original)
        sitk.WriteImage(written, str(file), True)
        found = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
        if not np.array_equal(found, sitk.GetArrayFromImage(written)):  # ITK doesn't fail for NIfTI on a full disk
            raise OSError("what is in the file is not what was written")


class NaturalImageReader:
    """PNG, BMP and TIFF in two dimensions, gray or in colors, which become channels."""

    def read(self, files: Sequence[Path]) -> Image:
        from skimage.io import imread

        arrays = []
        for file in files:
            array = imread(str(file))
            if array.ndim == 3 and array.shape[-1] in (3, 4):
                arrays.append(array.transpose(2, 0, 1)[:, None])
            elif array.ndim == 2:
                arrays.append(array[None, None])
            else:
                raise PredictionError(f"{file} has the shape {array.shape}, need a gray or color image")
        _check_same("size", files, [array.shape for array in arrays])
        return Image(np.vstack(arrays, dtype=np.float32, casting="unsafe"), (999, 1, 1))

    def write(self, segmentation: NDArray[np.unsignedinteger], file: Path, image: Image) -> None:  # noqa: ARG002
        from skimage.io import imsave

        imsave(str(file), segmentation[0], check_contrast=False)


class Tiff3DReader:
    """TIFF in three dimensions; the spacing is in a JSON file beside it, else 1."""

    def read(self, files: Sequence[Path]) -> Image:
        from tifffile import imread

        arrays = [imread(file) for file in files]
        for file, array in zip(files, arrays, strict=True):
            if array.ndim != 3:
                raise PredictionError(f"{file} has {array.ndim} axes, need 3")
        _check_same("size", files, [array.shape for array in arrays])
        beside = files[0].with_name(f"{files[0].stem[: -len('_0000')]}.json")
        spacing = tuple(json.loads(beside.read_text())["spacing"]) if beside.is_file() else (1, 1, 1)
        return Image(np.stack(arrays, dtype=np.float32, casting="unsafe"), spacing)

    def write(self, segmentation: NDArray[np.unsignedinteger], file: Path, image: Image) -> None:
        from tifffile import imwrite

        imwrite(file, data=segmentation, compression="zlib")
        name = file.name.removeprefix(".part_").removesuffix(file.suffix)
        file.with_name(f"{name}.json").write_text(json.dumps({"spacing": image.spacing}))


READERS: dict[str, Reader] = {
    "SimpleITKIO": ITKReader(),
    "SimpleITKIOWithReorient": ITKReader("RAS"),
    "NibabelIO": ITKReader(as_nibabel=True),
    "NibabelIOWithReorient": ITKReader("RAS", as_nibabel=True),
    "NaturalImage2DIO": NaturalImageReader(),
    "Tiff3DIO": Tiff3DReader(),
}


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1]


def _check_same(what: str, files: Sequence[Path], values: Sequence[Sequence[float]]) -> None:
    for file, value in zip(files, values, strict=True):
        if len(value) != len(values[0]) or not np.allclose(value, values[0]):
            raise PredictionError(f"{file} has another {what}, {value}, than {files[0]}, {values[0]}: they can't be one image")

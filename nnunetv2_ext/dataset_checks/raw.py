"""The raw dataset: its dataset.json, and every image and label that it is to be trained on."""

import os
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json
from numpy.typing import NDArray

from nnunetv2_ext.descriptions.dataset_json import dataset_json_problems, labels_in
from nnunetv2_ext.descriptions.json_file import read_json_file
from nnunetv2_ext.errors import DatasetError
from nnunetv2_ext.installation import Check

FORMAT = "see nnU-Net's documentation/dataset_format.md"
REPLACE = "copy the file again from where it comes from, or remove the case (image and label)"


def raw_checks(folder: Path) -> Iterator[Check]:
    """What is wrong in a dataset's folder below nnUNet_raw."""
    file = folder / "dataset.json"
    try:
        description = read_json_file(file, dict, f"Write it: {FORMAT}.")
    except DatasetError as error:
        yield Check("dataset.json", "wrong", str(error))
        return
    problems = list(dataset_json_problems(description))
    yield from (Check("dataset.json", "wrong", f"{file}: {problem}") for problem in problems)
    if not problems:
        yield from _case_checks(folder, description)


def _case_checks(folder: Path, description: dict[str, Any]) -> Iterator[Check]:
    listed = description.get("dataset")
    for name, case in listed.items() if isinstance(listed, dict) else ():
        if lacks := _lacks(case):
            yield Check(name, "wrong", f"{folder}/dataset.json lists {name} without {' and '.join(lacks)}", FORMAT)
    cases = dict(sorted(_cases(folder, description).items()))
    if not cases:
        ending = description["file_ending"]
        yield Check("cases", "wrong", f"{folder} has no training case: imagesTr holds no file CASE_0000{ending}", FORMAT)
        return
    expected = description.get("numTraining")
    if expected != len(cases):
        cure = f'write "numTraining": {len(cases)} into dataset.json, or add what is missing'
        yield Check("numTraining", "wrong", f"{folder}/dataset.json says {expected!r}, there are {len(cases)} cases", cure)
    readers = _Readers(description)
    sound = 0
    for images, label in cases.values():
        rows = list(_check_case(images, label, description, readers))
        sound += not rows
        yield from rows
    if sound == len(cases):
        yield Check("cases", "ok", f"{sound} cases in {folder}, images and labels read and compared")
    yield from _labels_without_image(folder, description, set(cases))


def _cases(folder: Path, description: dict[str, Any]) -> dict[str, tuple[list[Path], Path]]:
    """Images in the order of the channels, those that are there and one for each channel, and the label, of each case."""
    if isinstance(listed := description.get("dataset"), dict):
        return {
            name: ([_listed(folder, image) for image in case["images"]], _listed(folder, case["label"]))
            for name, case in listed.items()
            if not _lacks(case)
        }
    ending = description["file_ending"]
    images: dict[str, set[Path]] = {}
    for file in (folder / "imagesTr").glob(f"*_????{ending}"):
        # nnU-Net takes what is before the channel's four digits for the case, whatever the channel.
        images.setdefault(file.name[: -len(ending) - 5], set()).add(file)
    for name, files in images.items():
        files |= {folder / "imagesTr" / f"{name}_{channel:04d}{ending}" for channel in range(_channels(description))}
    return {name: (sorted(files), folder / "labelsTr" / f"{name}{ending}") for name, files in images.items()}


def _listed(folder: Path, file: str) -> Path:
    """A file that dataset.json lists: from the dataset's folder or absolute, with variables, as nnU-Net reads it."""
    return folder / os.path.expandvars(file)


def _lacks(case: Any) -> list[str]:
    """The keys that a case listed in dataset.json lacks."""
    return [key for key in ("images", "label") if not isinstance(case, dict) or key not in case]


def _channels(description: dict[str, Any]) -> int:
    return len(description["channel_names" if "channel_names" in description else "modality"])


class _Readers:
    """nnU-Net's reader for the files, found with the first one that can be read."""

    def __init__(self, description: dict[str, Any]) -> None:
        self._description = description
        self._found: BaseReaderWriter | None = None

    def read(self, file: Path, *, label: bool) -> tuple[NDArray[Any], tuple[float, ...]]:
        """The voxels as ``(C, *spatial)`` and the spacing. Whatever nnU-Net's reader raises comes through."""
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # it prints what it tries
            if self._found is None:
                self._found = determine_reader_writer_from_dataset_json(self._description, str(file), verbose=False)()
            voxels, properties = self._found.read_seg(str(file)) if label else self._found.read_images([str(file)])
        return voxels, tuple(properties["spacing"])


def _check_case(images: list[Path], label: Path, description: dict[str, Any], readers: _Readers) -> Iterator[Check]:
    first: tuple[Path, tuple[int, ...], tuple[float, ...]] | None = None
    missing = [file for file in (*images, label) if not file.is_file()]
    channels, wanted = 0, _channels(description)
    for file in (*images, label):
        is_label = file is label
        if file in missing:
            continue
        try:
            voxels, spacing = readers.read(file, label=is_label)
        except Exception:  # each of nnU-Net's readers has errors of its own
            yield Check(file.name, "wrong", f"{file} can't be read: it is damaged, cut off, or no {file.suffix} file", REPLACE)
            channels += not is_label
            continue
        channels += 0 if is_label else voxels.shape[0]  # a file of a natural image has all of its channels
        yield from _check_values(file, voxels, labels_in(description) if is_label else None)
        if first is None:
            first = file, voxels.shape[1:], spacing
        elif voxels.shape[1:] != first[1]:
            found = f"{file} has a shape of {_axes(voxels.shape[1:])}, {first[0].name} of {_axes(first[1])}"
            yield Check(file.name, "wrong", found, "resample one to the other's grid, or remove the case")
        elif not np.allclose(spacing, first[2]):
            found = f"{file} has a spacing of {_axes(spacing)}, {first[0].name} of {_axes(first[2])}"
            yield Check(file.name, "wrong", found, "copy the spacing of the image, if the grids are the same")
    for file in missing:
        if file is label or channels < wanted:
            names = "" if file is label else f" dataset.json names {wanted} channels,"
            yield Check(file.name, "wrong", f"{file} is missing:{names} each case needs all of its images and a label", FORMAT)
    if channels > wanted:
        found = f"{label} has images with {channels} channels, dataset.json names {wanted}"
        yield Check(label.name, "wrong", found, "name all of them in dataset.json, or remove the images that are too many")


def _check_values(file: Path, voxels: NDArray[Any], labels: set[int] | None) -> Iterator[Check]:
    if not np.isfinite(voxels).all():
        yield Check(file.name, "wrong", f"{file} has values that are not finite (nan or inf)", "replace them by numbers")
    elif labels is not None and (strange := set(np.unique(voxels).tolist()) - labels):
        found = f"{file} has the labels {_list(strange)}, dataset.json only {_list(labels)}"
        yield Check(file.name, "wrong", found, "add them to dataset.json, or correct the label image")


def _labels_without_image(folder: Path, description: dict[str, Any], cases: set[str]) -> Iterator[Check]:
    ending = description["file_ending"]
    lonely = sorted({file.name.removesuffix(ending) for file in (folder / "labelsTr").glob(f"*{ending}")} - cases)
    if lonely and "dataset" not in description:
        found = f"{folder}/labelsTr has {len(lonely)} labels without an image, {lonely[0]}{ending} for one"
        yield Check("labelsTr", "warning", found, "nnU-Net doesn't use them: add their images, or remove them")


def _axes(values: tuple[Any, ...]) -> str:
    return " x ".join(f"{value:g}" for value in values)


def _list(values: set[Any]) -> str:
    return ", ".join(f"{value:g}" for value in sorted(values))

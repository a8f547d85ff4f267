"""Slices of the cases where two models differ most, as pictures that can be embedded in a page."""

import base64
import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import binary_erosion

from nnunetv2_ext.comparison.compare import FOREGROUND, Comparison
from nnunetv2_ext.comparison.reading import PREDICT_AGAIN, Model, read_image
from nnunetv2_ext.comparison.scores import Case
from nnunetv2_ext.datasets import host_folder
from nnunetv2_ext.descriptions.dataset_json import check_dataset_json
from nnunetv2_ext.descriptions.json_file import read_json_file
from nnunetv2_ext.errors import DatasetError

CASES = 3
PIXELS = 260
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (213, 94, 0), (204, 121, 167), (240, 228, 66), (0, 114, 178))
"""of the labels 1, 2, ...: those of Okabe and Ito, which colour-blind readers tell apart"""

RESTORE = "Restore it: the pictures of the cases need it."

Labels = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Panel:
    """One picture."""

    caption: str
    uri: str
    """of a PNG, with its content"""


@dataclass(frozen=True)
class CasePictures:
    """The pictures of a case under the reference and another model."""

    model: str
    case: str
    fold: str
    reference_score: float
    score: float
    where: str
    panels: list[Panel]


def most_different(comparison: Comparison, models: Sequence[Model]) -> list[CasePictures]:
    """For every model the cases whose foreground Dice differs most from the reference's, largest first.

    Raises:
        DatasetError: if the images or their labels are not there.
        ComparisonError: if one of the files is missing or damaged.
    """
    by_name = {model.name: model for model in models}
    files = _files(comparison.dataset)
    pictures = []
    for entry in comparison.entries:
        difference = entry.estimates["dice"][FOREGROUND].difference
        if difference is None:
            continue
        size = np.abs(np.nan_to_num(difference.per_case))
        for index in np.argsort(-size, kind="stable")[:CASES]:
            if size[index] > 0:
                scores = [
                    comparison.entry(name).estimates["dice"][FOREGROUND].per_case for name in (comparison.reference, entry.name)
                ]
                case = comparison.cases[index]
                pair = by_name[comparison.reference], by_name[entry.name]
                pictures.append(_difference(case, pair, (scores[0][index], scores[1][index]), files))
    return pictures


def legend(dataset: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and CSS colours of the labels; of a region, the labels that it alone has."""
    names: dict[int, str] = {}
    regions = [(name, value if isinstance(value, list) else [value]) for name, value in dataset.get("labels", {}).items()]
    for name, values in sorted(regions, key=lambda region: -len(region[1])):  # the smallest region names a label
        names |= dict.fromkeys((value for value in values if value != 0 and name != "ignore"), name)
    return [(name, "rgb({}, {}, {})".format(*_colour(value))) for value, name in sorted(names.items())]


def _files(dataset: str) -> dict[str, dict[str, Any]]:
    """Images and labels of the training cases, as nnU-Net finds them."""
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    folder = host_folder("nnUNet_raw") / dataset
    if not (folder / "dataset.json").is_file():
        raise DatasetError(f"{folder} doesn't exist; the pictures of the cases need its images.")
    description = read_json_file(folder / "dataset.json", dict, RESTORE)
    check_dataset_json(description)
    return {
        case: {**files, "dataset": description}
        for case, files in get_filenames_of_train_images_and_targets(str(folder), description).items()
    }


def _difference(
    case: Case, pair: tuple[Model, Model], scores: tuple[float, float], files: dict[str, dict[str, Any]]
) -> CasePictures:
    from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json

    fold, name = case
    if name not in files:
        raise DatasetError(f"nnUNet_raw has no case {name}; the pictures of the cases need its image.")
    row = files[name]
    shown = Path(row["images"][0])
    with contextlib.redirect_stdout(io.StringIO()):
        find = partial(determine_reader_writer_from_dataset_json, row["dataset"], verbose=False)
        reader = read_image(find, shown, RESTORE)()
        image, properties = read_image(lambda file: reader.read_images([file]), shown, RESTORE)
        predictions = [model.finished[_first_repeat(model), fold].prediction(name) for model in pair]
        masks = [(Path(row["label"]), RESTORE), *((file, PREDICT_AGAIN) for file in predictions)]
        segmentations = [read_image(reader.read_seg, *mask)[0][0].astype(int) for mask in masks]
    axis = int(np.argmax(properties["spacing"])) if image.shape[1] > 1 else 0
    spacing = [float(size) for number, size in enumerate(properties["spacing"]) if number != axis]
    index = _slice_of_difference(segmentations[1], segmentations[2], axis)
    grey = _grey(image[0])
    flat = [np.take(volume, index, axis) for volume in (grey, *segmentations)]
    box = _box(flat[1:])
    flat = [plane[box] for plane in flat]
    captions = ("image", "truth", *(model.name for model in pair))
    pictures = [_picture(flat[0], None, spacing), *(_picture(flat[0], labels, spacing) for labels in flat[1:])]
    where = [f"slice {index + 1} of {grey.shape[axis]}"] if grey.shape[axis] > 1 else []
    if any(len({repeat for repeat, _ in model.finished}) > 1 for model in pair):
        where.append("pictures of the first repeat and scores averaged over all")
    panels = [Panel(caption, picture) for caption, picture in zip(captions, pictures, strict=True)]
    return CasePictures(pair[1].name, name, fold, scores[0], scores[1], ", ".join(where), panels)


def _first_repeat(model: Model) -> int:
    return min(repeat for repeat, _ in model.finished)


def _slice_of_difference(first: Labels, second: Labels, axis: int) -> int:
    others = tuple(number for number in range(first.ndim) if number != axis)
    return int((first != second).sum(others).argmax())


def _grey(image: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    low, high = np.percentile(image, (0.5, 99.5))
    return (255 * np.clip((image - low) / max(high - low, 1e-9), 0, 1)).astype(np.uint8)


def _box(segmentations: Sequence[Labels]) -> tuple[slice, ...]:
    """Around everything that is labelled, with as much again around it."""
    where = np.argwhere(np.any([labels > 0 for labels in segmentations], axis=0))
    if not len(where):
        return (slice(None), slice(None))
    low, high = where.min(0), where.max(0) + 1
    margin = max(8, int((high - low).max()) // 2)
    return tuple(slice(max(0, int(start) - margin), int(end) + margin) for start, end in zip(low, high, strict=True))


def _picture(grey: npt.NDArray[np.uint8], labels: Labels | None, spacing: Sequence[float]) -> str:
    """A PNG of about ``PIXELS`` at its longer side, with the labels tinted and outlined."""
    millimetres = np.array(grey.shape) * spacing
    height, width = (int(size) for size in np.maximum(1, np.round(PIXELS * millimetres / millimetres.max())))
    pixels = np.array(Image.fromarray(grey).resize((width, height), Image.Resampling.BICUBIC).convert("RGB"), np.float64)
    for value in [] if labels is None else np.unique(labels[labels > 0]):
        mask = np.array(Image.fromarray(labels == value).resize((width, height), Image.Resampling.NEAREST), bool)
        outline = mask & ~binary_erosion(mask, iterations=2)
        pixels[mask] = 0.65 * pixels[mask] + 0.35 * np.array(_colour(value))
        pixels[outline] = _colour(value)
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _colour(label: int) -> tuple[int, int, int]:
    return COLOURS[(int(label) - 1) % len(COLOURS)]

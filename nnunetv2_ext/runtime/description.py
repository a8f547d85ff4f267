"""``model.json``: all that prediction needs beside the networks."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_ext.errors import PredictionError

FILE_NAME = "model.json"
FORMAT = 1


@dataclass(frozen=True)
class Channel:
    """An input channel, and how its intensities are normalised."""

    name: str
    normalization: str
    """name of nnU-Net's class"""
    only_nonzero: bool
    """whether mean and deviation are those of the nonzero part of the image"""
    statistics: Mapping[str, float]
    """intensities of the training set's foreground; empty where the normalisation needs none"""


@dataclass(frozen=True)
class Resampling:
    """One of nnU-Net's functions for resampling, and its settings."""

    function: str
    order: int
    order_z: int
    force_separate_z: bool | None
    separate_z_anisotropy_threshold: float


@dataclass(frozen=True)
class Fold:
    """The network of one fold."""

    name: str
    """a number or ``all``"""
    file: str
    sha256: str
    free_batch: bool
    """whether it takes batches of any size; else of one"""
    largest_difference: float
    """between its logits and those of the network in torch, when it was exported"""


@dataclass(frozen=True)
class ModelDescription:
    """What ``model.json`` holds. Axes are those of nnU-Net's arrays: ``(z, y, x)``, then transposed."""

    dataset: str
    trainer: str
    plans: str
    configuration: str
    checkpoint: str
    reader: str
    """name of nnU-Net's class that reads the images"""
    file_ending: str
    channels: tuple[Channel, ...]
    transpose_forward: tuple[int, ...]
    transpose_backward: tuple[int, ...]
    spacing: tuple[float, ...]
    """what images are resampled to; two numbers if the network takes slices, which then keep their distance"""
    patch_size: tuple[int, ...]
    data_resampling: Resampling
    logits_resampling: Resampling
    mirror_axes: tuple[int, ...]
    """spatial axes of a patch along which predictions are mirrored"""
    labels: Mapping[str, int | list[int]]
    regions_class_order: tuple[int, ...] | None
    opset: int
    folds: tuple[Fold, ...]
    versions: Mapping[str, str]

    def write(self, folder: Path) -> None:
        """Writes ``model.json`` into a folder."""
        content = {"format": FORMAT, **dataclasses.asdict(self)}
        (folder / FILE_NAME).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_description(folder: Path) -> ModelDescription:
    """What the model in a folder says of itself.

    Raises:
        PredictionError: if there is no ``model.json``, or one that can't be read or is of a newer version.
    """
    file = folder / FILE_NAME
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PredictionError(
            f"{folder} has no {FILE_NAME}: name the folder that 'nnUNetv2_ext export' wrote, with the ONNX files in it"
        ) from error
    except (OSError, ValueError) as error:
        raise PredictionError(f"{file} can't be read ({error}): copy the exported folder again") from error
    if isinstance(content, dict) and content.pop("format", None) != FORMAT:
        raise PredictionError(
            f"{file} is not of format {FORMAT}, the one this version reads: update nnunetv2-ext, or export again"
        )
    try:
        return _description(content)
    except (KeyError, TypeError) as error:
        raise PredictionError(f"{file} is incomplete or was changed ({error}): copy the exported folder again") from error


def _description(content: dict[str, Any]) -> ModelDescription:
    tuples = ("transpose_forward", "transpose_backward", "spacing", "patch_size", "mirror_axes")
    order = content["regions_class_order"]
    read = {
        **content,
        **{name: tuple(content[name]) for name in tuples},
        "regions_class_order": None if order is None else tuple(order),
        "channels": tuple(Channel(**channel) for channel in content["channels"]),
        "data_resampling": Resampling(**content["data_resampling"]),
        "logits_resampling": Resampling(**content["logits_resampling"]),
        "folds": tuple(Fold(**fold) for fold in content["folds"]),
    }
    return ModelDescription(**read)

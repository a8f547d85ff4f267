"""The grammar of trainer names: ``nnUNetTrainer<Preset>[<Optimizer>][<Loss>][_<N>epochs[_<M>iters]]``. Imports no torch."""

import difflib
import re
from dataclasses import dataclass

from nnunetv2_ext.errors import UnknownTrainerError
from nnunetv2_ext.presets import PRESETS, Preset

OPTIMIZERS = {
    "Adan": "nnunetv2_ext.trainers.optimizers.AdanMixin",
    "AdamW": "nnunetv2_ext.trainers.optimizers.AdamWMixin",
}
LOSSES = {
    "DiceLoss": "nnunetv2_ext.trainers.losses.DiceLossMixin",
    "CEThenDiceLoss": "nnunetv2_ext.trainers.losses.CEThenDiceLossMixin",
}

PREFIX = "nnUNetTrainer"
_SUFFIXES = re.compile(
    rf"(?P<optimizer>{'|'.join(OPTIMIZERS)})?(?P<loss>{'|'.join(LOSSES)})?"
    r"(?:_(?P<epochs>[1-9]\d*)epochs(?:_(?P<iterations>[1-9]\d*)iters)?)?"
)


@dataclass(frozen=True)
class TrainerName:
    """What a trainer's name says; None where it says nothing and the preset or the host decides."""

    name: str
    preset: Preset
    optimizer: str | None = None
    loss: str | None = None
    epochs: int | None = None
    iterations: int | None = None


def parse(name: str) -> TrainerName:
    """What the name says.

    Raises:
        UnknownTrainerError: if no preset and suffixes make it; the message has the nearest names.
    """
    for preset in PRESETS.values():
        stem = PREFIX + preset.name
        if name.startswith(stem) and (match := _SUFFIXES.fullmatch(name, len(stem))):
            numbers = {key: int(match[key]) if match[key] else None for key in ("epochs", "iterations")}
            return TrainerName(name, preset, match["optimizer"], match["loss"], **numbers)
    similar = nearest(name)
    raise UnknownTrainerError(
        f"there is no trainer {name}."
        + (f" Did you mean {', '.join(similar)}?" if similar else "")
        + f" A name is {PREFIX}<Preset>, then optionally one of {', '.join(OPTIMIZERS)}, one of {', '.join(LOSSES)}, and "
        "_<N>epochs or _<N>epochs_<M>iters with N and M at least 1. 'nnUNetv2_ext list' shows all presets."
    )


def nearest(name: str) -> list[str]:
    """Up to four names of ours that it resembles, the best first; none for a trainer of another package."""
    stem = name.removeprefix(PREFIX).split("_")[0]
    begins_with = sorted((preset for preset in PRESETS if stem.startswith(preset)), key=len, reverse=True)
    close = difflib.get_close_matches(stem, [known.removeprefix(PREFIX) for known in all_names()], n=4)
    return [PREFIX + known for known in dict.fromkeys([*close, *begins_with])][:4]


def all_names() -> list[str]:
    """Every trainer's name, without the length suffixes, of which there are any number."""
    return [
        f"{PREFIX}{preset}{optimizer}{loss}" for preset in PRESETS for optimizer in ("", *OPTIMIZERS) for loss in ("", *LOSSES)
    ]

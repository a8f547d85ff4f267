"""The grammar of trainer names: ``nnUNetTrainer<Preset><suffixes>``. Imports no torch."""

import difflib
from dataclasses import asdict, dataclass

from nnunetv2_ext.errors import CombinationError, UnknownTrainerError
from nnunetv2_ext.presets import PRESETS, Preset
from nnunetv2_ext.presets.stock_variants import stock_variants
from nnunetv2_ext.presets.suffixes import LOSSES, OPTIMIZERS, Suffixes, read_suffixes

PREFIX = "nnUNetTrainer"


@dataclass(frozen=True, kw_only=True)
class TrainerName(Suffixes):
    """What a trainer's name says; None where it says nothing and the preset or nnU-Net decides."""

    name: str
    preset: Preset


def parse(name: str) -> TrainerName:
    """What the name says.

    Raises:
        UnknownTrainerError: if no preset and suffixes make it; the message has the nearest names.
        CombinationError: if its suffixes say one thing twice.
    """
    for preset in PRESETS.values():
        stem = PREFIX + preset.name
        if not name.startswith(stem):
            continue
        try:
            suffixes = read_suffixes(name.removeprefix(stem))
        except CombinationError as error:
            raise CombinationError(f"{name}: {error}") from None
        if suffixes is not None:
            return TrainerName(name=name, preset=preset, **asdict(suffixes))
    similar = nearest(name)
    raise UnknownTrainerError(
        f"there is no trainer {name}."
        + (f" Did you mean {', '.join(similar)}?" if similar else "")
        + f" A name is {PREFIX}<Preset>, then any of {', '.join(OPTIMIZERS)}, {', '.join(LOSSES)}, a suffix of nnU-Net's own "
        "trainers such as NoMirroring, _<N>epochs or _<N>epochs_<M>iters, _lr1e-3, _wd1e-2 and _bs4. 'nnUNetv2_ext list' shows "
        "all presets." + "".join(f"\n{problem}" for problem in PRESETS.problems)
    )


def nearest(name: str) -> list[str]:
    """Up to four names of ours that it resembles, the best first; none for a trainer of another package."""
    stem = name.removeprefix(PREFIX).split("_")[0]
    begins_with = sorted((preset for preset in PRESETS if stem.startswith(preset)), key=len, reverse=True)
    with_variants = [begins_with[0] + variant for variant in stock_variants()] if begins_with else []
    close = difflib.get_close_matches(name.removeprefix(PREFIX), with_variants, n=1, cutoff=0.8)
    close += difflib.get_close_matches(stem, [known.removeprefix(PREFIX) for known in all_names()], n=4)
    return [PREFIX + known for known in dict.fromkeys([*close, *begins_with])][:4]


def all_names() -> list[str]:
    """Every preset's trainer with our optimizers and losses; there are any number of others."""
    return [
        f"{PREFIX}{preset}{optimizer}{loss}" for preset in PRESETS for optimizer in ("", *OPTIMIZERS) for loss in ("", *LOSSES)
    ]

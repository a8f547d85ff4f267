"""The suffixes of a trainer's name: our optimizers, losses and numbers, and all of nnU-Net's variants. Imports no torch."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from nnunetv2_ext.errors import CombinationError
from nnunetv2_ext.presets.stock_variants import stock_variants

OPTIMIZERS = {
    "Adan": "nnunetv2_ext.trainers.optimizers.AdanMixin",
    "AdamW": "nnunetv2_ext.trainers.optimizers.AdamWMixin",
}
LOSSES = {
    "DiceLoss": "nnunetv2_ext.trainers.losses.DiceLossMixin",
    "CEThenDiceLoss": "nnunetv2_ext.trainers.losses.CEThenDiceLossMixin",
}
NUMBERS = {
    "length": r"_(?P<epochs>[1-9]\d*)epochs(?:_(?P<iterations>[1-9]\d*)iters)?",
    "learning rate": r"_lr(?P<learning_rate>[1-9]\d*e-\d+)",
    "weight decay": r"_wd(?P<weight_decay>0|[1-9]\d*e-\d+)",
    "batch size": r"_bs(?P<batch_size>[1-9]\d*)",
}
"""what a number says, and how it is written; without a dot, with which pickle couldn't look a class up by its name"""
COUNTS = ("epochs", "iterations", "batch_size")
VARIANT = "variant"


@dataclass(frozen=True)
class Suffixes:
    """What the suffixes say; None where they say nothing and the preset or nnU-Net decides."""

    optimizer: str | None = None
    loss: str | None = None
    epochs: int | None = None
    iterations: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    batch_size: int | None = None
    variants: tuple[str, ...] = ()
    """suffixes of nnU-Net's trainers, such as NoMirroring"""


def read_suffixes(text: str) -> Suffixes | None:
    """What the suffixes say, in whatever order they are; None if the text isn't made of suffixes.

    Where one of ours and one of nnU-Net's are written alike, it is ours.

    Raises:
        CombinationError: if one thing is said twice.
    """
    matches = _split(text)
    if matches is None:
        return None
    said: dict[str, str] = {}
    values: dict[str, str] = {}
    variants: list[str] = []
    for kind, match in matches:
        if kind == VARIANT:
            variants.append(match[0])
            continue
        if kind in said:
            raise CombinationError(f"{said[kind]} and {match[0]} both say the {kind}: keep one of the two")
        said[kind] = match[0]
        values |= {name: value for name, value in match.groupdict().items() if value is not None}
    if twice := [variant for variant in variants if variants.count(variant) > 1]:
        raise CombinationError(f"{twice[0]} is there twice: keep one of the two")
    numbers: dict[str, Any] = {name: (int if name in COUNTS else float)(value) for name, value in values.items()}
    return Suffixes(
        optimizer=said.get("optimizer"),
        loss=said.get("loss"),
        variants=tuple(variants),
        **numbers,
    )


def is_suffixes(text: str) -> bool:
    """Whether a text is made of suffixes, also of some that contradict each other."""
    return _split(text) is not None


def _split(text: str) -> list[tuple[str, re.Match[str]]] | None:
    if not text:
        return []
    for kind, pattern in _patterns():
        if (match := pattern.match(text)) and (rest := _split(text[match.end() :])) is not None:
            return [(kind, match), *rest]
    return None


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Every suffix, in the order in which they are tried: ours first, and a longer one before its beginning."""

    def ordered() -> Iterator[tuple[str, str]]:
        yield from (("optimizer", name) for name in sorted(OPTIMIZERS, key=len, reverse=True))
        yield from (("loss", name) for name in sorted(LOSSES, key=len, reverse=True))
        yield from NUMBERS.items()
        yield from ((VARIANT, re.escape(name)) for name in sorted(stock_variants(), key=len, reverse=True))

    return [(kind, re.compile(pattern)) for kind, pattern in ordered()]

"""The trainer of the demo: its name, its length, and how long it takes."""

import re

from nnunetv2_ext.errors import UnknownTrainerError
from nnunetv2_ext.trainers.names import PREFIX, parse

DEFAULT = "nnUNetTrainerEGEAdamWNoDA_lr2e-3"
LENGTH = "_7epochs_40iters"


def resolve(name: str) -> str:
    """The name of the trainer to run: one of ours gets the demo's length if it has none.

    Raises:
        UnknownTrainerError: if nnU-Net finds none of that name; the message has the nearest names of ours.
    """
    try:
        return name if parse(name).epochs else name + LENGTH
    except UnknownTrainerError:
        from nnunetv2_ext.trainers.resolve import any_trainer_class  # here, because it imports torch

        any_trainer_class(name)
        return name


def label(name: str) -> str:
    """What the trainer is called in tables."""
    try:
        return parse(name).preset.name
    except UnknownTrainerError:
        return name


def epochs(name: str) -> int | None:
    """How many epochs the name says; None where it says nothing, as in most stock trainers, which have 1000."""
    found = re.search(r"_(\d+)epochs?(?!\w*epoch)", name)
    return int(found[1]) if found else None


def duration(name: str) -> str:
    """A sentence about how long the demo takes with that trainer."""
    if name == DEFAULT + LENGTH:
        return "It takes about five minutes on two CPU cores, less on more cores or a GPU."
    if name.endswith(LENGTH):
        other = name.removeprefix(PREFIX)
        return f"With {DEFAULT} it takes about five minutes on two CPU cores; {other} trains for as many iterations."
    number = epochs(name)
    length = f"{number} epochs" if number else "as many epochs as it says itself, 1000 in a stock trainer"
    return f"Beside the training it takes one to two minutes on two CPU cores. {name} trains for {length}."

"""From a trainer's name to its class."""

import pydoc
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from nnunetv2_ext.errors import UnknownTrainerError
from nnunetv2_ext.trainers.base import ExtensionTrainer
from nnunetv2_ext.trainers.names import LOSSES, OPTIMIZERS, TrainerName, parse

_CLASSES: dict[str, type[ExtensionTrainer]] = {}


def trainer_class(name: str) -> type[ExtensionTrainer]:
    """The trainer of that name, the same class at every call.

    Raises:
        UnknownTrainerError: if there is none; the message has the nearest names.
    """
    if name not in _CLASSES:
        _CLASSES[name] = _build(parse(name))
    return _CLASSES[name]


def any_trainer_class(name: str) -> type[nnUNetTrainer]:
    """The trainer of that name, ours or one that nnU-Net finds: a stock one, or one in the folders of nnUNet_extTrainer.

    Raises:
        UnknownTrainerError: if there is none; the message has the nearest names of ours.
    """
    try:
        return trainer_class(name)
    except UnknownTrainerError as error:
        try:
            with redirect_stdout(StringIO()):  # it prints what it inspects
                return recursive_find_trainer_class_by_name(name)
        except (RuntimeError, AssertionError, TypeError):  # there is nothing of that name, or it is no trainer
            raise error from None


def _build(parsed: TrainerName) -> type[ExtensionTrainer]:
    preset = parsed.preset
    loss = LOSSES[parsed.loss] if parsed.loss else None
    optimizer = OPTIMIZERS[parsed.optimizer] if parsed.optimizer else preset.optimizer
    # The recipe's mixins come first, since a schedule wraps what the optimizer's mixin makes, and the base comes last.
    paths = [path for path in (*preset.mixins, loss, optimizer) if path is not None]
    body: dict[str, Any] = {
        "__module__": __name__,
        "__doc__": f"Preset {preset.name}: {preset.summary}.",
        "preset": preset,
        "hyperparameters": {**preset.hyperparameters, **_length(parsed)},
    }
    return type(parsed.name, (*(pydoc.locate(path) for path in paths), ExtensionTrainer), body)  # type: ignore[arg-type]


def _length(parsed: TrainerName) -> dict[str, int]:
    length: dict[str, int] = {}
    if parsed.epochs is not None:
        # The host saves every 50 epochs, which would be never in a short run.
        length |= {"num_epochs": parsed.epochs, "save_every": max(1, min(50, parsed.epochs // 20))}
    if parsed.iterations is not None:
        # The host validates on 50 batches after 250 iterations.
        validation = max(1, round(parsed.iterations / 5))
        length |= {"num_iterations_per_epoch": parsed.iterations, "num_val_iterations_per_epoch": validation}
    return length


def __getattr__(name: str) -> type[ExtensionTrainer]:
    """Trainers as attributes of this module, which is where pickle looks for them."""
    try:
        return trainer_class(name)
    except UnknownTrainerError as error:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from error

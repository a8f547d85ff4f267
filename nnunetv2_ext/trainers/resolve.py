"""From a trainer's name to its class."""

import pydoc
import sys
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from typing import Any

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from nnunetv2_ext.errors import CombinationError, PresetError, UnknownTrainerError
from nnunetv2_ext.presets import PRESETS, Preset
from nnunetv2_ext.presets.suffixes import LOSSES, OPTIMIZERS
from nnunetv2_ext.trainers.base import ExtensionTrainer
from nnunetv2_ext.trainers.names import TrainerName, parse
from nnunetv2_ext.trainers.variants import (
    ScheduleMixin,
    Variant,
    VariantsMixin,
    changes_network,
    in_order,
    parts,
    replaces,
    variant_class,
)

_CLASSES: dict[str, type[ExtensionTrainer]] = {}


def trainer_class(name: str) -> type[ExtensionTrainer]:
    """The trainer of that name, the same class at every call.

    Raises:
        UnknownTrainerError: if there is none; the message has the nearest names.
        CombinationError: if its suffixes contradict each other.
        PresetError: if the preset is one of the user's, and its recipe names a class that isn't there.
    """
    if name not in _CLASSES:
        _CLASSES[name] = _build(parse(name))
        _report_problems()
    return _CLASSES[name]


@cache
def _report_problems() -> None:
    """Says once what of the user's presets was left out, since it may be what this trainer should have been."""
    for problem in PRESETS.problems:
        print(f"nnunetv2_ext: {problem}", file=sys.stderr)


def any_trainer_class(name: str) -> type[nnUNetTrainer]:
    """The trainer of that name, ours or one that nnU-Net finds: a stock one, or one in the folders of nnUNet_extTrainer.

    Raises:
        UnknownTrainerError: if there is none; the message has the nearest names of ours.
        CombinationError: if it is one of ours whose suffixes contradict each other.
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
    preset, numbers = parsed.preset, _numbers(parsed)
    try:
        variants = in_order([variant_class(suffix) for suffix in parsed.variants])
        parts_of = _parts(parsed, variants)
    except CombinationError as error:
        raise CombinationError(f"{parsed.name}: {error}.") from None
    body: dict[str, Any] = {
        "__module__": __name__,
        "__doc__": f"Preset {preset.name}: {preset.summary}.",
        "preset": preset,
        "numbers": numbers,
        "batch_size_in_name": parsed.batch_size,
        "hyperparameters": {**_hyperparameters(parsed, variants), **numbers},
        "schedule_variant": next((variant for variant in variants if parts(variant) == {"schedule"}), None),
        "reads_checkpoints_itself": any(replaces(variant, "load_checkpoint") for variant in variants),
        "network_variant": next((variant for variant in variants if changes_network(variant)), None),
    }
    bases = [*([VariantsMixin] if variants else []), *parts_of, *variants, ExtensionTrainer]
    return type(parsed.name, tuple(dict.fromkeys(bases)), body)  # type: ignore[arg-type]


def _hyperparameters(parsed: TrainerName, variants: list[Variant]) -> dict[str, Any]:
    """The preset's, without the rates of an optimizer that the name replaces."""
    replaced = parsed.optimizer or any("optimizer" in parts(variant) for variant in variants)
    return {
        name: value
        for name, value in parsed.preset.hyperparameters.items()
        if not (replaced and name in ("initial_lr", "weight_decay"))
    }


def _parts(parsed: TrainerName, variants: list[Variant]) -> list[type]:
    """The classes for schedule, loss and optimizer: those of the name in place of the preset's.

    The schedule comes first, since it wraps what the optimizer's class makes. A loss of ours only changes the one behind it, so
    the preset's stays.

    Raises:
        CombinationError: if the name says one of them twice.
    """
    preset = parsed.preset
    optimizer = OPTIMIZERS[parsed.optimizer] if parsed.optimizer else None
    loss = LOSSES[parsed.loss] if parsed.loss else None
    of_name: dict[str, type] = {part: _class(path, preset) for part, path in (("optimizer", optimizer), ("loss", loss)) if path}
    for variant in variants:
        for part in sorted(parts(variant)):
            if part in of_name:
                both = f"{of_name[part].__name__} and {variant.__name__}"
                raise CombinationError(f"{both} both bring {'an' if part == 'optimizer' else 'a'} {part}: keep one of the two")
            of_name[part] = variant

    schedule: list[type] = [_class(preset.schedule, preset)] if preset.schedule else []
    if "schedule" in of_name:
        borrowed = parts(of_name["schedule"]) == {"schedule"}
        schedule = [ScheduleMixin, of_name["schedule"]] if borrowed else []
    losses: list[type] = [_class(preset.loss, preset)] if preset.loss and of_name.get("loss") not in variants else []
    losses += [of_name["loss"]] if "loss" in of_name else []
    default = _class(OPTIMIZERS.get(preset.optimizer, preset.optimizer), preset) if preset.optimizer else None
    last = of_name.get("optimizer", default)
    return [*schedule, *(_class(path, preset) for path in preset.mixins), *losses, *([last] if last else [])]


def _class(path: str, preset: Preset) -> type:
    try:
        found = pydoc.locate(path)
    except pydoc.ErrorDuringImport as error:
        raise PresetError(f"{preset.origin}: preset {preset.name} names {path}, which can't be imported: {error}") from error
    if not isinstance(found, type) or not issubclass(found, nnUNetTrainer):
        raise PresetError(f"{preset.origin}: preset {preset.name} names {path}, which is no class derived from nnUNetTrainer")
    return found


def _numbers(parsed: TrainerName) -> dict[str, float]:
    """The attributes of nnU-Net's trainer that the name sets."""
    numbers: dict[str, float] = {}
    if parsed.epochs is not None:
        # nnU-Net saves every 50 epochs, which would be never in a short run.
        numbers |= {"num_epochs": parsed.epochs, "save_every": max(1, min(50, parsed.epochs // 20))}
    if parsed.iterations is not None:
        # nnU-Net validates on 50 batches after 250 iterations.
        validation = max(1, round(parsed.iterations / 5))
        numbers |= {"num_iterations_per_epoch": parsed.iterations, "num_val_iterations_per_epoch": validation}
    if parsed.learning_rate is not None:
        numbers["initial_lr"] = parsed.learning_rate
    if parsed.weight_decay is not None:
        numbers["weight_decay"] = parsed.weight_decay
    return numbers


def __getattr__(name: str) -> type[ExtensionTrainer]:
    """Trainers as attributes of this module, which is where pickle looks for them."""
    try:
        return trainer_class(name)
    except UnknownTrainerError as error:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from error

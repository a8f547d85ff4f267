"""nnU-Net's own variants of its trainer, mixed into ours: what each changes, which go together, and in which order."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import permutations
from pydoc import locate
from typing import Any, ClassVar, cast

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn
from torch.optim import Optimizer

from nnunetv2_ext.errors import CombinationError
from nnunetv2_ext.presets import Preset
from nnunetv2_ext.presets.stock_variants import stock_variants
from nnunetv2_ext.trainers.networks import as_plan, build_network

Variant = type[nnUNetTrainer]
BUILD_NETWORK = "build_network_architecture"


def variant_class(suffix: str) -> Variant:
    """nnU-Net's class of that suffix.

    Raises:
        CombinationError: if it replaces what our trainers are built upon.
    """
    variant = cast(Variant, locate(stock_variants()[suffix]))
    if replaces(variant, "initialize"):
        raise CombinationError(f"{variant.__name__} sets up network and optimizer in its own way, so no preset can take it")
    return variant


def parts(variant: Variant) -> set[str]:
    """Which of optimizer, schedule and loss a variant replaces.

    nnU-Net sets optimizer and schedule in one method, of which a variant usually repeats one half. Which half it changed can be
    told from the names in its code: the half it repeats has SGD, or PolyLRScheduler, as nnU-Net's.
    """
    replaced = {"loss"} if "_build_loss" in _hooks(variant) else set()
    for method in _methods(variant, "configure_optimizers"):
        replaced |= {part for part, own in (("optimizer", "SGD"), ("schedule", "PolyLRScheduler")) if own not in _names(method)}
        break
    return replaced


def changes_network(variant: Variant) -> bool:
    """Whether a variant has a say in how the network is built."""
    return BUILD_NETWORK in _hooks(variant)


def replaces(variant: Variant, hook: str) -> bool:
    """Whether a variant overrides a method of nnUNetTrainer without calling it."""
    return hook in _replaced(variant)


def in_order(variants: Sequence[Variant]) -> list[Variant]:
    """The variants, those that build upon a method of nnU-Net's before one that replaces it.

    Raises:
        CombinationError: if two replace the same method, or two build upon it.
    """
    for first, second in permutations(variants, 2):
        for hook in sorted(_hooks(first) & _hooks(second) - {"configure_optimizers"}):
            if (hook in _replaced(first)) == (hook in _replaced(second)):
                raise CombinationError(f"{first.__name__} and {second.__name__} both change {hook}: keep one of the two")
    for order in permutations(variants):
        if all(_may_precede(first, second) for index, first in enumerate(order) for second in order[index + 1 :]):
            return list(order)
    raise CombinationError(f"{' and '.join(variant.__name__ for variant in variants)} undo each other: keep one of them")


def _may_precede(first: Variant, second: Variant) -> bool:
    return not (_replaced(first) & _hooks(second) - {"configure_optimizers"})


def _hooks(variant: Variant) -> set[str]:
    """The methods of nnUNetTrainer that a variant overrides."""
    own = {name for ancestor in _own_classes(variant) for name in vars(ancestor)}
    return {name for name in own if callable(getattr(nnUNetTrainer, name, None)) and not name.startswith("__")}


def _replaced(variant: Variant) -> set[str]:
    """Those that it overrides without calling nnU-Net's."""
    return {hook for hook in _hooks(variant) if not all("super" in _names(method) for method in _methods(variant, hook))}


def _methods(variant: Variant, hook: str) -> Iterator[Any]:
    for ancestor in _own_classes(variant):
        if hook in vars(ancestor):
            method = vars(ancestor)[hook]
            yield getattr(method, "__func__", method)


def _own_classes(variant: Variant) -> list[type]:
    """A variant and its ancestors below nnUNetTrainer."""
    return list(variant.__mro__[: variant.__mro__.index(nnUNetTrainer)])


def _names(function: Any) -> tuple[str, ...]:
    return function.__code__.co_names


class BorrowedSchedule:
    """A schedule that was made for another optimizer: its learning rates go to this one, group by group in proportion."""

    def __init__(self, optimizer: Optimizer, other: Optimizer, schedule: Any) -> None:
        self.optimizer, self.other, self.schedule = optimizer, other, schedule
        self._initial = [group["lr"] for group in optimizer.param_groups]
        self._initial_other = other.param_groups[0].get("initial_lr", other.param_groups[0]["lr"])

    def step(self, epoch: int | None = None) -> None:
        self.schedule.step(epoch)
        share = self.other.param_groups[0]["lr"] / self._initial_other
        for group, initial in zip(self.optimizer.param_groups, self._initial, strict=True):
            group["lr"] = share * initial


class ScheduleMixin(nnUNetTrainer):
    """Takes the schedule alone of the variant behind it; the optimizer is the one of the classes behind the variant."""

    schedule_variant: ClassVar[Variant]

    def configure_optimizers(self, *stage: str) -> tuple[Optimizer, Any]:
        theirs, schedule = super().configure_optimizers(*stage)
        if theirs is self.optimizer:  # a later stage of a schedule that has some, which keeps the optimizer
            return theirs, schedule
        last = _own_classes(self.schedule_variant)[-1]
        optimizer, _ = super(last, self).configure_optimizers()  # type: ignore[misc, arg-type]
        return optimizer, BorrowedSchedule(optimizer, theirs, schedule)


class VariantsMixin(nnUNetTrainer):
    """Stands before nnU-Net's variants and keeps in force what their constructors and methods don't know of."""

    preset: ClassVar[Preset]
    network_variant: ClassVar[Variant | None] = None
    reads_checkpoints_itself: ClassVar[bool] = False
    numbers: ClassVar[Mapping[str, Any]]
    stock_values: dict[str, Any]

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        for name, recipe in self._all_hyperparameters().items():  # type: ignore[attr-defined]
            value, stock = getattr(self, name), self.stock_values[name]
            if name in self.numbers and value not in (stock, recipe):
                raise CombinationError(
                    f"{type(self).__name__} says two things: a variant of nnU-Net's in it sets {name} to {value}, and a number "
                    f"in its name sets it to {recipe}. Leave one of them out."
                )
            if value == stock:  # some set what nnU-Net has anyway
                setattr(self, name, recipe)

    def load_checkpoint(self, filename_or_checkpoint: str) -> None:
        """As without the variant, or, where it has its own method, by that from the checkpoint that ours chooses.

        That of nnU-Net's warm-up reads in torch's default mode, which refuses what nnU-Net itself saves.
        """
        if not self.reads_checkpoints_itself:
            super().load_checkpoint(filename_or_checkpoint)
            return
        path = str(self.checkpoint_to_load(filename_or_checkpoint).path)  # type: ignore[attr-defined]
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        saved: list[Any] = [*map(locate, names), type(np.dtype(np.float64)), type(np.dtype(np.float32))]
        with torch.serialization.safe_globals(saved):
            super().load_checkpoint(path)

    @classmethod
    def build_network_architecture(
        cls,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """As without the variant, or, where it changes the network, what it makes of a plan that names the preset's.

        Raises:
            CombinationError: if it has a network of its own, or doesn't change this one.
        """
        if cls.network_variant is None:
            return super().build_network_architecture(
                plans_manager, configuration_manager, num_input_channels, num_output_channels, enable_deep_supervision
            )
        plan = as_plan(cls.preset, configuration_manager)
        network = super().build_network_architecture(
            plans_manager, deepcopy(plan), num_input_channels, num_output_channels, enable_deep_supervision
        )
        plain = build_network(
            cls.preset, configuration_manager, num_input_channels, num_output_channels, deep_supervision=enable_deep_supervision
        )
        variant = cls.network_variant.__name__
        if type(network) is not type(plain):
            raise CombinationError(f"{variant} builds a network of its own, so preset {cls.preset.name} can't take it")
        if repr(network) == repr(plain):
            raise CombinationError(
                f"{variant} changes nothing in the network of preset {cls.preset.name}, which has its own instead: leave it out"
            )
        return network

"""A preset: a network and the recipe it is trained with."""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import FrameType, FunctionType
from typing import Any

from nnunetv2_ext.errors import PresetError

PACKAGE = __name__.rpartition(".")[0]
PLAN_FACTS = ("region_based", "patch_size", "spacing")
"""what a network may be told about the configuration"""


@dataclass(frozen=True)
class Preset:
    """A network and the recipe it is trained with. ``nnUNetTrainer<name>`` is its trainer.

    Classes are given as themselves or as dotted paths, which keep ``nnUNetv2_ext list`` from importing them.

    Raises:
        PresetError: if the name is none that a trainer can have, there is no network, or arguments can't be saved.
    """

    name: str
    summary: str = ""
    paper: str = ""
    network: str = ""
    """dotted path of the network's class, as a plan would name it"""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """keyword arguments of the network beside those of the plan"""
    plan_facts: tuple[str, ...] = ()
    """facts of the configuration that the network takes as keyword arguments: ``region_based``, ``patch_size``, ``spacing``"""
    optimizer: str | None = None
    """``"Adan"``, ``"AdamW"`` or a mixin, where it is not nnU-Net's SGD; a suffix replaces it"""
    schedule: str | None = None
    """mixin of the learning rate's schedule where it is not nnU-Net's polynomial decay; a suffix replaces it"""
    loss: str | None = None
    """mixin of the loss where it is not nnU-Net's; a suffix of nnU-Net's replaces it, one of ours changes it"""
    mixins: tuple[str, ...] = ()
    """further trainer mixins that the recipe needs, such as gates"""
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    """attributes of nnU-Net's trainer that the recipe sets"""
    origin: str = field(default="", compare=False)
    """where it comes from, ``file:line``; empty for ours"""

    def __post_init__(self) -> None:
        set_field = partial(object.__setattr__, self)  # the dataclass is frozen for everyone else
        if not self.origin:
            set_field("origin", _caller())
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", self.name):
            raise PresetError(f"a preset can't be named {self.name!r}: use letters and digits, the first one a letter")
        if not self.network:
            raise PresetError(f"preset {self.name} has no network: give its class, or the dotted path of its class")
        for name in ("network", "optimizer", "schedule", "loss"):
            set_field(name, path_of(getattr(self, name)))
        set_field("mixins", tuple(map(path_of, self.mixins)))
        if not isinstance(self.network, str):
            raise PresetError(f"preset {self.name}: network is {self.network!r}, need a class, a function or its dotted path")
        if unknown := sorted(set(self.plan_facts) - set(PLAN_FACTS)):
            raise PresetError(f"preset {self.name}: no plan fact {', '.join(unknown)}; there are {', '.join(PLAN_FACTS)}")
        try:
            json.dumps([dict(self.arguments), dict(self.hyperparameters)])
        except (TypeError, ValueError) as error:
            raise PresetError(
                f"preset {self.name}: arguments and hyperparameters go into plans and run cards, so they have to be what JSON "
                f"can hold ({error})"
            ) from error

    @property
    def architecture(self) -> str:
        """Dotted path of what the preset is about: its network, the one in its adapter, or its block."""
        return str(self.arguments.get("network") or self.arguments.get("block") or self.network)


def path_of(given: Any) -> Any:
    """The dotted path of a class or function; what is one already, or nothing, stays as it is."""
    return f"{given.__module__}.{given.__qualname__}" if isinstance(given, (type, FunctionType)) else given


def _caller() -> str:
    """The file and line outside of this package that a preset is made in; empty if there is none, since it is one of ours."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith((PACKAGE, "dataclasses")):
        frame = frame.f_back
    if frame is None or frame.f_globals.get("__name__", "").startswith("importlib"):
        return ""
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"

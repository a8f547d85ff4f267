"""The table of presets: every architecture with its recipe, one row each. Imports no torch, so a light command stays light.

The trainers, ``nnUNetv2_ext list``, the README's table and the parametrised tests all read it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EGE_NETWORK = "nnunetv2_ext.architectures.EGE"
EGE_PAPER = "EGE-UNet (arXiv 2307.08473) and the nnU-Net modification notes"
NOTES = "nnU-Net modification notes"
GHPA_PAPER = "EGE-UNet (arXiv 2307.08473)"


@dataclass(frozen=True)
class Preset:
    """A network and the recipe it is trained with. ``nnUNetTrainer<name>`` is its trainer."""

    name: str
    summary: str
    paper: str
    network: str
    """dotted path of the network's class, as a plan would name it"""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """keyword arguments of the network beside those of the plan"""
    plan_facts: tuple[str, ...] = ()
    """facts of the configuration that the network takes as keyword arguments: ``region_based``, ``patch_size``"""
    optimizer: str | None = None
    """the optimizer's suffix where the host's SGD is not what the network is trained with"""
    loss: str | None = None
    """the loss's suffix where the host's Dice and cross-entropy is not"""
    mixins: tuple[str, ...] = ()
    """dotted paths of further trainer mixins that the recipe needs"""


def _ege(name: str, summary: str, paper: str, **without: Any) -> Preset:
    return Preset(name, summary, paper, EGE_NETWORK, arguments=without, plan_facts=("region_based",))


_NO_MBTFE: dict[str, Any] = {"mbtfe_stages": []}
_NO_GHPA: dict[str, Any] = {"ghpa_stages": []}
_NO_EAB: dict[str, Any] = {"eab": False}
_NO_GAB: dict[str, Any] = {"gab": False}

_ROWS = (
    _ege("EGE", "the plan's U-Net with MBTFE, EAB, GHPA and GAB", EGE_PAPER),
    _ege("MBTFE", "the plan's U-Net with MBTFE on every stage", NOTES, **_NO_EAB, **_NO_GHPA, **_NO_GAB),
    _ege("EAB", "the plan's U-Net with EAB over the three finest skips", NOTES, **_NO_MBTFE, **_NO_GHPA, **_NO_GAB),
    _ege("MBTFEEAB", "the plan's U-Net with MBTFE and EAB", NOTES, **_NO_GHPA, **_NO_GAB),
    _ege("GHPA", "the plan's U-Net with GHPA in the deeper half", GHPA_PAPER, **_NO_MBTFE, **_NO_EAB, **_NO_GAB),
    _ege("GAB", "the plan's U-Net with GAB over the skips", GHPA_PAPER, **_NO_MBTFE, **_NO_EAB, **_NO_GHPA),
    _ege("EGENoMBTFE", "EGE without MBTFE", EGE_PAPER, **_NO_MBTFE),
    _ege("EGENoEAB", "EGE without EAB", EGE_PAPER, **_NO_EAB),
    _ege("EGENoGHPA", "EGE without GHPA", EGE_PAPER, **_NO_GHPA),
    _ege("EGENoGAB", "EGE without GAB", EGE_PAPER, **_NO_GAB),
)


def _table(rows: tuple[Preset, ...]) -> dict[str, Preset]:
    table: dict[str, Preset] = {}
    for row in rows:
        if row.name in table:
            raise ValueError(f"two presets are named {row.name}: every row of the table needs a name of its own")
        table[row.name] = row
    return table


PRESETS = _table(_ROWS)

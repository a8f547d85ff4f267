"""The table of presets, ours and the user's. Imports no torch, so that a light command stays light.

The trainers, ``nnUNetv2_ext list``, the README's table and the parametrised tests all read it.
"""

from nnunetv2_ext.presets.adapt import adapt
from nnunetv2_ext.presets.monai import MONAI
from nnunetv2_ext.presets.ours import OURS
from nnunetv2_ext.presets.preset import Preset
from nnunetv2_ext.presets.stock import PLAIN
from nnunetv2_ext.presets.table import PresetTable
from nnunetv2_ext.presets.with_block import with_block

PRESETS = PresetTable((*OURS, PLAIN, *MONAI))

__all__ = ["MONAI", "OURS", "PLAIN", "PRESETS", "Preset", "PresetTable", "adapt", "with_block"]

"""The table of presets by itself; that each row becomes a trainer is tested in trainers/test_resolve.py."""

import pydoc
import subprocess
import sys

import pytest
from torch import nn

from nnunetv2_ext.presets import PRESETS
from nnunetv2_ext.presets.suffixes import OPTIMIZERS


@pytest.mark.parametrize("name", PRESETS)
def test_a_row_names_what_there_is(name) -> None:
    preset = PRESETS[name]
    assert preset.name == name
    assert issubclass(pydoc.locate(preset.network), nn.Module)
    for path in (OPTIMIZERS.get(preset.optimizer, preset.optimizer), preset.schedule, preset.loss, *preset.mixins):
        assert not path or pydoc.locate(path) is not None, path


def test_the_table_is_read_without_torch() -> None:
    code = "import sys; import nnunetv2_ext.presets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

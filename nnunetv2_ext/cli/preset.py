"""The name of a preset as the value of an option."""

import difflib

import click

from nnunetv2_ext.presets import PRESETS
from nnunetv2_ext.trainers.names import PREFIX


class PresetName(click.ParamType):
    """A preset's name, or its trainer's; a wrong one is answered with the nearest."""

    name = "preset"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = value.removeprefix(PREFIX)
        if name not in PRESETS:
            near = difflib.get_close_matches(name, PRESETS)
            hint = f"Did you mean {', '.join(near)}?" if near else "'nnUNetv2_ext list' shows all of them."
            self.fail(f"there is no preset {value}. {hint}", param, ctx)
        return name

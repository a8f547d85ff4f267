"""The name of a preset as the value of an option."""

import click
import pytest

from nnunetv2_ext.cli.preset import PresetName


@pytest.mark.parametrize("value", ["MCANet", "nnUNetTrainerMCANet"])
def test_a_preset_or_its_trainer(value):
    assert PresetName()(value) == "MCANet"


@pytest.mark.parametrize(
    ("value", "hint"), [("MACNet", "Did you mean MCANet"), ("EGENoGap", "Did you mean EGENoGAB"), ("Nonsense", "ext list'")]
)
def test_a_wrong_one_is_answered_with_the_nearest(value, hint):
    with pytest.raises(click.BadParameter, match=f"there is no preset {value}.*{hint}"):
        PresetName()(value)


def test_help_names_no_presets(command):
    output = command("plan", "--help").output
    assert "--preset PRESET" in output
    assert "EGENoMBTFE" not in output

"""``nnUNetv2_ext list``"""

import json

from nnunetv2_ext.presets import PRESETS
from nnunetv2_ext.trainers.names import LOSSES, OPTIMIZERS, parse


def test_json_has_every_preset(command):
    listed = json.loads(command("list", "--json").output)
    assert [row["preset"] for row in listed["presets"]] == list(PRESETS)
    for row in listed["presets"]:
        preset = parse(row["trainer"]).preset
        assert row == {
            "preset": preset.name,
            "trainer": row["trainer"],
            "summary": preset.summary,
            "paper": preset.paper,
            "network": preset.network,
        }


def test_json_has_the_suffixes(command):
    suffixes = json.loads(command("list", "--json").output)["suffixes"]
    assert suffixes["optimizer"] == list(OPTIMIZERS)
    assert suffixes["loss"] == list(LOSSES)
    for length in suffixes["length"]:
        name = next(iter(PRESETS)) + length.replace("<N>", "3").replace("<M>", "5")
        assert parse(f"nnUNetTrainer{name}").epochs == 3


def test_the_table_has_every_trainer_and_its_example_is_one(command):
    output = command("list").output
    assert all(f" nnUNetTrainer{name} " in output for name in PRESETS)
    parse(output.split("for instance ")[1].split(".")[0])


def test_it_is_light(modules_after):
    assert not modules_after("list") & {"torch", "numpy", "nnunetv2"}

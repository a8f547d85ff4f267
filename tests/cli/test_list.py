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
            "origin": "",
        }


def test_json_has_the_suffixes(command):
    suffixes = json.loads(command("list", "--json").output)["suffixes"]
    assert suffixes["optimizer"] == list(OPTIMIZERS)
    assert suffixes["loss"] == list(LOSSES)
    for length in suffixes["length"]:
        name = next(iter(PRESETS)) + length.replace("<N>", "3").replace("<M>", "5")
        assert parse(f"nnUNetTrainer{name}").epochs == 3
    assert all(parse(f"nnUNetTrainerEGE{suffix}") for suffix in (*suffixes["numbers"], *suffixes["of_nnunet"]))


def test_one_line_for_each_preset_in_a_hundred_columns(command):
    lines = command("list").output.splitlines()
    assert max(map(len, lines)) <= 100
    for name, preset in PRESETS.items():
        assert [line.split(maxsplit=1)[1] for line in lines if line.split()[:1] == [name]] == [preset.summary]


def test_ablations_stand_under_their_network(command):
    network = None
    for line in command("list").output.splitlines():
        name = line.split()[0] if line else ""
        if name in PRESETS:
            network = network if line.startswith(" ") else PRESETS[name].network
            assert PRESETS[name].network == network
    assert "\nMCANet " in command("list").output
    assert "\n  MCANetNoAttention " in command("list").output


def test_every_network_has_its_paper_and_the_example_is_a_trainer(command):
    output = command("list").output
    assert "AxialUNet, GatedAxialUNet, LoGo, MedT: Medical Transformer (arXiv 2102.10662)\n" in output
    parse(output.split("for instance ")[1].split(".")[0])


def test_it_is_light(modules_after):
    assert not modules_after("list") & {"torch", "numpy", "nnunetv2", "rich"}

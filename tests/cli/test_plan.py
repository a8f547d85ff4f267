"""``nnUNetv2_ext plan``"""

import json

import pytest

from nnunetv2_ext.planning.planner import PresetPlanner
from nnunetv2_ext.presets import PRESETS, Preset

FIRST = next(iter(PRESETS))


@pytest.fixture
def small(dataset):
    dataset.fingerprint(shape=[1, 32, 32], spacing=[1.0, 1.0, 1.0])
    return dataset


@pytest.fixture
def light(small, monkeypatch):
    """The small dataset, and an estimate that takes no time."""
    monkeypatch.setattr(PresetPlanner, "static_estimate_VRAM_usage", lambda *_: 10**6)
    return small


@pytest.mark.parametrize(
    "arguments",
    [
        ["-d", "7"],
        ["-a", FIRST],
        ["-d", "7", "-a", "Nonsense"],
        ["-d", "7", "-a", FIRST, "--gpu-memory", "0"],
        ["-d", "7", "-a", FIRST, "-c", "4d"],
    ],
)
def test_wrong_usage(command, arguments):
    assert command("plan", *arguments).exit_code == 2


def test_it_writes_plans_and_says_what_to_type_next(command, small):
    result = command("plan", "-d", "7", "-a", FIRST, "-c", "2d")
    assert result.exit_code == 0, result.output
    assert (small.preprocessed / f"nnUNet{FIRST}Plans.json").is_file()
    assert f"nnUNetv2_preprocess -d 7 -plans_name nnUNet{FIRST}Plans -c 2d\n" in result.stdout
    assert f"nnUNetv2_train 7 2d 0 -p nnUNet{FIRST}Plans\n" in result.stdout


def test_data_that_is_there_need_not_be_made(command, light):
    (light.preprocessed / "nnUNetPlans_2d").mkdir()
    result = json.loads(command("plan", "-d", "7", "-a", FIRST, "--json").stdout)
    assert list(result["configurations"]) == ["2d"]
    assert result["next"] == [f"nnUNetv2_train 7 2d 0 -p nnUNet{FIRST}Plans"]


@pytest.mark.parametrize("recipe", [{"optimizer": "AdamW"}, {"hyperparameters": {"initial_lr": 1e-4}}], ids=str)
def test_a_preset_with_a_recipe_is_trained_by_its_trainer(command, light, monkeypatch, recipe):
    first = PRESETS[FIRST]
    recipe = Preset(FIRST, first.summary, first.paper, first.network, first.arguments, first.plan_facts, **recipe)
    monkeypatch.setitem(PRESETS, FIRST, recipe)
    (light.preprocessed / "nnUNetPlans_2d").mkdir()
    result = json.loads(command("plan", "-d", "7", "-a", FIRST, "--json").stdout)
    assert result["next"] == [f"nnUNetv2_train 7 2d 0 -p nnUNet{FIRST}Plans -tr nnUNetTrainer{FIRST}"]


def test_plans_that_exist_are_kept(command, light):
    file = light.preprocessed / f"nnUNet{FIRST}Plans.json"
    file.write_text('{"configurations": {"mine": {}}}')
    result = command("plan", "-d", "7", "-a", FIRST)
    assert result.exit_code == 1
    assert "--overwrite" in result.output
    assert json.loads(file.read_text()) == {"configurations": {"mine": {}}}
    assert command("plan", "-d", "7", "-a", FIRST, "--overwrite").exit_code == 0
    assert {"mine", "2d"} == json.loads(file.read_text())["configurations"].keys()


@pytest.mark.usefixtures("clean_variables")
def test_an_unset_variable_is_said(command):
    result = command("plan", "-d", "7", "-a", FIRST)
    assert result.exit_code == 1
    assert "nnUNet_preprocessed is not set" in result.output

"""What scripts/results.py works out itself; the trainings are hours, for a person to start."""

import importlib.util
import sys
from copy import deepcopy
from pathlib import Path

import pytest
from click.testing import CliRunner

from nnunetv2_ext.presets import MONAI, OURS, PLAIN, PresetTable
from nnunetv2_ext.trainers.names import PREFIX

SCRIPT = Path(__file__).parents[2] / "scripts" / "results.py"


@pytest.fixture(scope="module")
def results():
    sys.path.insert(0, str(SCRIPT.parent))  # where Python looks first when it runs a script
    spec = importlib.util.spec_from_file_location("results_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["results_script"] = module  # where a dataclass looks for its module
    spec.loader.exec_module(module)
    sys.path.remove(str(SCRIPT.parent))
    return module


def test_small_plans_have_the_data_of_the_large_ones(results) -> None:
    stages = {"architecture": {"arch_kwargs": {"n_stages": 5, "features_per_stage": [32, 64, 128, 256, 320]}}}
    plans = {
        "plans_name": "nnUNetPlans",
        "configurations": {
            "2d": {"data_identifier": "here", "patch_size": [256, 256], **stages},
            "3d": {"inherits_from": "2d"},
        },
    }
    before = deepcopy(plans)
    small = results.smaller(plans, "2d", (128, 128), narrow=True)
    assert small["plans_name"] == "nnUNetSmallPlans"
    assert small["configurations"]["2d"]["architecture"]["arch_kwargs"]["features_per_stage"] == [8, 16, 32, 64, 64]
    assert small["configurations"]["2d"]["data_identifier"] == "here"
    assert small["configurations"]["2d"]["patch_size"] == [128, 128]
    wide = results.smaller(plans, "2d", (128, 128), narrow=False)
    assert wide["plans_name"] == "nnUNetSmallPatchPlans"
    assert wide["configurations"]["2d"]["architecture"] == stages["architecture"]
    assert plans == before


def test_a_block_replaces_its_earlier_one_and_leaves_the_prose(results) -> None:
    text = results.with_block("# Results\n\nProse.\n", "a", "one\n")
    text = results.with_block(text, "b", "two\n") + "\nMore prose.\n"
    text = results.with_block(text, "a", "three\n")
    blocks = "<!-- a -->\nthree\n<!-- /a -->\n\n<!-- b -->\ntwo\n<!-- /b -->\n"
    assert text == f"# Results\n\nProse.\n\n{blocks}\nMore prose.\n"


def test_every_experiment_has_trainers_that_exist(results, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    monkeypatch.setenv("nnUNet_extPresets", str(SCRIPT.with_name("results_presets")))
    monkeypatch.setattr("nnunetv2_ext.trainers.names.PRESETS", PresetTable((*OURS, PLAIN, *MONAI)))
    from nnunetv2_ext.trainers.names import parse

    output = CliRunner().invoke(results.main, ["--folder", str(tmp_path / "made"), "--dry-run"])
    assert output.exit_code == 0, output.output
    commands = output.stdout.splitlines()
    assert sum("nnUNetv2_ext compare" in line for line in commands) == len(results.EXPERIMENTS)
    names = {word for line in commands for word in line.split() if word.startswith(PREFIX)}
    assert len(names) > 25
    for name in names:
        parse(name)

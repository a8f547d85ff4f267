"""What the commands say of files that are damaged: a sentence with the file and the cure, and exit code 1."""

import json

import pytest

from tests.plans import CONFIGURATIONS

PROFILE = ("profile", "-d", "7", "-c", "2d", "-tr", "nnUNetTrainerEGE", "--no-time")
PLAN = ("plan", "-d", "7", "-a", "EGE", "-c", "2d")


@pytest.fixture
def planned(dataset):
    plans = {"dataset_name": dataset.name, "plans_name": "nnUNetPlans", "configurations": {"2d": CONFIGURATIONS["2d"]}}
    (dataset.preprocessed / "nnUNetPlans.json").write_text(json.dumps(plans))
    return dataset


@pytest.mark.parametrize(
    ("arguments", "file", "content", "says"),
    [
        (PROFILE, "nnUNetPlans.json", '{"configurations": {"2d"', "nnUNetPlans.json is no valid JSON, it may be cut off"),
        (PROFILE, "nnUNetPlans.json", "[]", "nnUNetPlans.json should hold an object and holds list"),
        (PROFILE, "nnUNetPlans.json", "{}", "no dataset_name; no plans_name; there is no configuration 2d, only none"),
        (PROFILE, "dataset.json", "", "dataset.json is no valid JSON"),
        (PROFILE, "dataset.json", '{"file_ending": ".png"}', "dataset.json: no channel_names"),
        (PLAN, "dataset_fingerprint.json", "{", "dataset_fingerprint.json is no valid JSON"),
        (PLAN, "dataset_fingerprint.json", "{}", "no spacings, no shapes_after_crop"),
        (PLAN, "nnUNetEGEPlans.json", "{}", "nnUNetEGEPlans.json already exists. Add --overwrite"),
        ((*PLAN, "--overwrite"), "nnUNetEGEPlans.json", "{", "nnUNetEGEPlans.json is no valid JSON"),
    ],
)
def test_a_damaged_file_is_a_sentence(command, planned, arguments, file, content, says):
    damaged = planned.preprocessed / file
    damaged.write_text(content)
    result = command(*arguments)
    assert result.exit_code == 1
    assert says in result.output
    assert result.output.strip().count("\n") == 0, result.output
    assert damaged.read_text() == content


@pytest.mark.parametrize(
    ("content", "says"), [("{", "dataset.json is no valid JSON"), ("{}", "dataset.json: no channel_names")]
)
def test_a_damaged_raw_description_is_a_sentence(command, planned, content, says):
    (planned.raw / "dataset.json").write_text(content)
    result = command(*PLAN)
    assert (result.exit_code, result.output.strip().count("\n")) == (1, 0)
    assert says in result.output

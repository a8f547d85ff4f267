"""The configuration that the demo trains."""

import json

import pytest
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_ext.demo.plan import CONFIGURATION, PARENT, add_narrow_configuration


@pytest.fixture
def plans_file(dataset):
    dataset.plan_stock(gpu_memory=0.5)
    return dataset.preprocessed / "nnUNetPlans.json"


def test_it_differs_from_nnunet_s_own_in_the_width_alone(plans_file) -> None:
    before = json.loads(plans_file.read_text())
    add_narrow_configuration(plans_file)
    after = json.loads(plans_file.read_text())
    assert after["configurations"].pop(CONFIGURATION)["inherits_from"] == PARENT
    assert after == before

    plans = PlansManager(str(plans_file))
    parent, narrow = (plans.get_configuration(name).configuration for name in (PARENT, CONFIGURATION))
    assert narrow.pop("inherits_from") == PARENT
    wide, slim = (configuration["architecture"]["arch_kwargs"].pop("features_per_stage") for configuration in (parent, narrow))
    assert slim == [width // 4 for width in wide]
    assert narrow == parent

from copy import deepcopy

import pytest

from nnunetv2_ext.descriptions.plans_json import check_plans
from nnunetv2_ext.errors import PlanError
from tests.dataset_checks.faults import PLANS

OLD = {"UNet_class_name": "PlainConvUNet", "data_identifier": "a", "batch_size": 2, "patch_size": [32, 32], "spacing": [1, 1]}


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres", "3d_cascade_fullres"])
def test_sound_plans(configuration):
    check_plans(PLANS, configuration)


def test_plans_of_an_older_nnunet_are_left_to_nnunet():
    check_plans({**PLANS, "configurations": {"2d": OLD}}, "2d")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset_name": None}, "no dataset_name"),
        ({"plans_name": 3}, "no plans_name"),
        ({"configurations": []}, "there is no configuration 2d, only none"),
        ({"configurations": {"2d": 3}}, "configuration 2d is 3, need a JSON object"),
        ({"configurations": {"2d": {**OLD, "data_identifier": 3}}}, "no data_identifier, the name of the folder"),
        ({"configurations": {"2d": {**OLD, "batch_size": True}}}, "batch_size is True, need a whole number"),
        ({"configurations": {"2d": {**OLD, "architecture": "UNet"}}}, "architecture is 'UNet', need a JSON object"),
        ({"configurations": {"2d": {**OLD, "architecture": {}}}}, "network_class_name is None, .*; arch_kwargs is None"),
    ],
)
def test_what_is_wrong_is_said_with_a_cure(changes, message):
    with pytest.raises(PlanError, match=rf"configuration 2d: .*{message}.* To cure it make the plans again"):
        check_plans({**deepcopy(PLANS), **changes}, "2d")


@pytest.mark.parametrize(
    ("links", "message"),
    [
        ({"previous_stage": "gone"}, "previous_stage is 'gone', which is no configuration"),
        ({"previous_stage": ["2d"]}, r"previous_stage is \['2d'\], which is no configuration"),
        ({"next_stage": "gone"}, "next_stage is 'gone', which is no configuration"),
        ({"next_stage": ["3d_fullres", "gone"]}, "next_stage is 'gone', which is no configuration"),
    ],
)
def test_a_stage_before_or_after_that_is_not_there(links, message):
    plans = {**PLANS, "configurations": {**PLANS["configurations"], "3d_lowres": {"inherits_from": "3d_fullres", **links}}}
    with pytest.raises(PlanError, match=rf"configuration 3d_lowres: {message}\. To cure it"):
        check_plans(plans, "3d_lowres")


@pytest.mark.parametrize("stages", ["3d_cascade_fullres", ["2d", "3d_cascade_fullres"]])
def test_next_stages_that_are_there(stages):
    lowres = {"inherits_from": "3d_fullres", "next_stage": stages}
    check_plans({**PLANS, "configurations": {**PLANS["configurations"], "3d_lowres": lowres}}, "3d_lowres")


@pytest.mark.parametrize("plans", [None, [], "plans", 3])
def test_what_is_no_plans_at_all(plans):
    with pytest.raises(PlanError, match="need a JSON object"):
        check_plans(plans, "2d")

"""From any stock plan to the arguments of our networks."""

from nnunetv2_ext.trainers.networks import plan_arguments
from tests.plans import CONFIGURATIONS


def test_a_residual_encoder_plan_is_served():
    values = CONFIGURATIONS["2d"]["architecture"]["arch_kwargs"]
    residual = {**{k: v for k, v in values.items() if k != "n_conv_per_stage"}, "n_blocks_per_stage": [1, 3, 4, 6]}
    assert plan_arguments(residual) == {**values, "n_conv_per_stage": [2, 2, 2, 2]}


def test_what_a_plan_says_about_another_network_of_ours_is_left_out():
    values = CONFIGURATIONS["2d"]["architecture"]["arch_kwargs"]
    assert plan_arguments({**values, "mbtfe_stages": [0], "region_based": True}) == values

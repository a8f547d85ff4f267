"""The planner's estimate, against the counted peak of a step as it is trained."""

from functools import lru_cache

import pytest
import torch

from nnunetv2_ext.memory.feature_map_size import feature_map_size
from nnunetv2_ext.memory.step import step_memory
from nnunetv2_ext.profiling.case import Case, case_of_patch
from nnunetv2_ext.trainers.names import PREFIX
from tests.plans import NETWORKS

PATCHES = {"2d": (64, 64), "3d": (32, 32, 32), "3d_anisotropic": (8, 32, 32)}


def case_of(plan: str) -> Case:
    """The three stages of a small network; on the anisotropic plan the first axis is coarse."""
    case = case_of_patch(PATCHES[plan], channels=1, classes=3, batch_size=2)
    arguments = case.configuration.network_arch_init_kwargs
    dimensions = len(PATCHES[plan])
    steps, kernels = [[1] * dimensions, *[[2] * dimensions] * 3], [[3] * dimensions] * 4
    if plan == "3d_anisotropic":
        steps[1:3], kernels[:2] = [[1, 2, 2]] * 2, [[1, 3, 3]] * 2
    arguments |= {"n_stages": 4, "features_per_stage": [16, 32, 64, 128], "kernel_sizes": kernels, "strides": steps}
    arguments |= {"n_conv_per_stage": [2] * 4, "n_conv_per_stage_decoder": [2] * 3}
    return case


def on_meta(case: Case, trainer: str) -> torch.nn.Module:
    with torch.device("meta"):
        return case.network(trainer)


@lru_cache
def stock_numbers(plan: str) -> tuple[int, int]:
    """The counted activations of a step of the stock network, and its own number for the planner."""
    case = case_of(plan)
    network = on_meta(case, PREFIX)
    counted = step_memory(network, torch.zeros(case.input_shape, device="meta")).activations
    return counted, int(network.compute_conv_feature_map_size(case.configuration.patch_size))


@pytest.mark.slow
@pytest.mark.parametrize("preset", NETWORKS)
@pytest.mark.parametrize("plan", PATCHES)
def test_the_estimate_is_to_stocks_as_the_peak_is(preset, plan):
    case = case_of(plan)
    network = on_meta(case, PREFIX + preset)
    counted = step_memory(network, torch.zeros(case.input_shape, device="meta")).activations
    estimate = network.compute_conv_feature_map_size(case.configuration.patch_size)
    stock_counted, stock_estimate = stock_numbers(plan)
    assert estimate / stock_estimate == pytest.approx(counted / stock_counted, rel=0.15)


@pytest.mark.slow
def test_a_network_with_weights_is_left_as_it_was():
    case = case_of("2d")
    network = case.network(PREFIX + "EGEUNet")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    on_meta_too = on_meta(case, PREFIX + "EGEUNet")
    arguments = network.plan.arguments
    assert feature_map_size(network, arguments, (64, 64)) == feature_map_size(on_meta_too, arguments, (64, 64))
    after = network.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert all(parameter.grad is None for parameter in network.parameters())

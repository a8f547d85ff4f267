"""The count on the meta device, against steps that are really computed."""

import pytest
import torch
from torch import nn

from nnunetv2_ext.memory.step import Precision, step_memory
from tests.plans import CONFIGURATIONS, NETWORKS, OUR_PRESETS, network

FAST = ("GAB", "MCANet")


@pytest.mark.parametrize(
    ("preset", "plan"),
    [
        pytest.param(name, plan, marks=[] if name in FAST and plan == "2d" else pytest.mark.slow)
        for name in OUR_PRESETS
        for plan in (CONFIGURATIONS if name in NETWORKS else ["2d"])  # ablations run their network's code
    ],
)
def test_a_step_under_autocast_counts_as_much_as_one_that_is_computed(preset: str, plan: str) -> None:
    net = network(preset, plan)
    x = torch.randn(2, 1, *CONFIGURATIONS[plan]["patch_size"])
    computed = step_memory(net, x)
    counted = step_memory(net.to("meta"), x.to("meta"))
    for name in computed._fields:
        assert getattr(counted, name) == pytest.approx(getattr(computed, name), rel=0.06), name


@pytest.mark.parametrize(("precision", "size"), [("float32", 4), ("autocast", 2)])
def test_what_a_convolution_and_its_activation_keep(precision: Precision, size: int) -> None:
    """Two feature maps; under autocast also the input and the weights in half precision, and the loss is in float32."""
    convolution = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1, bias=False), nn.ReLU()).to("meta")
    x = torch.zeros(2, 3, 16, 16, device="meta")
    values, inputs, weights = 2 * 5 * 16 * 16, 2 * 3 * 16 * 16, 5 * 3 * 9
    kept = step_memory(convolution, x, precision=precision).kept
    copies = 2 * (inputs + weights) + 4 * values if precision == "autocast" else 0
    assert kept == pytest.approx(size * values + copies, abs=64)  # the loss is a scalar or two


def test_a_network_is_left_in_the_types_that_it_had() -> None:
    net = nn.Conv2d(1, 2, 3)
    step_memory(net, torch.zeros(1, 1, 8, 8))
    assert net.weight.dtype == torch.float32
    assert net.weight.grad is None
    assert not torch.is_autocast_enabled("cpu")

"""The encoder: what it adds to the host's, and where. Without additions it is the host's, see test_ege.py."""

import pytest
import torch

from nnunetv2_ext.architectures.unet.ege import EGE
from tests.plans import CONFIGURATIONS, arguments, network, with_open_shortcuts


@pytest.mark.parametrize("plan", CONFIGURATIONS)
def test_one_map_per_stage_finest_first(plan) -> None:
    values = arguments(plan)
    encoder = EGE(**values, mbtfe_stages=[0], ghpa_stages=[1]).encoder
    size = torch.tensor(CONFIGURATIONS[plan]["patch_size"])
    maps = encoder(torch.randn(2, 1, *size.tolist()))
    for stage, (found, width) in enumerate(zip(maps, values["features_per_stage"], strict=True)):
        expected = size // torch.tensor(values["strides"][: stage + 1]).prod(0)
        assert tuple(found.shape) == (2, width, *expected.tolist())


def test_eab_refines_skips_and_does_not_feed_the_next_stage():
    torch.manual_seed(0)
    net, x = network("EAB", "2d").eval(), torch.randn(1, 1, 32, 32)
    skips, unrefined = net.encoder(x), []
    for stage in net.encoder.stages:
        x = stage(x)
        unrefined.append(x)
    assert [torch.allclose(a, b) for a, b in zip(skips, unrefined, strict=True)] == [False, False, False, True]


@pytest.mark.parametrize("shortcuts", [True, False])
@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_a_plan_without_norms_trains_in_every_form(recompute, shortcuts):
    """Its nonlinearities work in place, on what the blocks give."""
    values = {**arguments("2d"), "norm_op": None, "norm_op_kwargs": None}
    network = EGE(**values, mbtfe_stages=[0], ghpa_stages=[1, 2], shortcuts=shortcuts, recompute=recompute)
    encoder = with_open_shortcuts(network).encoder
    sum(skip.square().mean() for skip in encoder(torch.randn(2, 1, 32, 32))).backward()
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())

"""The decoder: outputs, and what its bridges see. Without bridges it is the host's, see test_ege.py."""

import pytest
import torch
from torch import Tensor

from nnunetv2_ext.architectures.plan import Plan
from nnunetv2_ext.architectures.unet.decoder import UNetDecoder
from tests.plans import CONFIGURATIONS, arguments


def skips_of(plan: str) -> list[Tensor]:
    torch.manual_seed(0)
    values, size = arguments(plan), torch.tensor(CONFIGURATIONS[plan]["patch_size"])
    sizes = [(size // torch.tensor(values["strides"][: stage + 1]).prod(0)).tolist() for stage in range(values["n_stages"])]
    return [torch.randn(2, width, *s) for width, s in zip(values["features_per_stage"], sizes, strict=True)]


@pytest.mark.parametrize("gab", [False, True])
@pytest.mark.parametrize("plan", CONFIGURATIONS)
def test_deep_supervision_is_a_switch_that_keeps_the_finest_prediction(plan, gab) -> None:
    decoder, skips = UNetDecoder(Plan.from_arguments(arguments(plan)), gab=gab), skips_of(plan)
    several = decoder(skips)
    decoder.deep_supervision = False
    assert [tuple(p.shape) for p in several] == [(2, 3, *skip.shape[2:]) for skip in skips[:-1]]
    torch.testing.assert_close(decoder(skips), several[0])


def test_a_bridge_sees_the_prediction_one_stage_below() -> None:
    masks = []
    decoder, skips = UNetDecoder(Plan.from_arguments(arguments("2d")), gab=True), skips_of("2d")
    for bridge in decoder.bridges:
        bridge.register_forward_pre_hook(lambda _module, inputs: masks.append(inputs[2]))
    finest, middle, coarsest = decoder(skips)
    assert [mask.shape[2:] for mask in masks] == [middle.shape[2:], finest.shape[2:]]
    evidence = torch.logsumexp(coarsest[:, 1:], 1, keepdim=True) - coarsest[:, :1]
    expected = torch.nn.functional.interpolate(evidence, size=middle.shape[2:], mode="bilinear", align_corners=True)
    torch.testing.assert_close(masks[0], expected)

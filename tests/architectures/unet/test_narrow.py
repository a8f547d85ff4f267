"""The narrow U-Net against the plan's of the same features."""

import pytest
import torch

from nnunetv2_ext.architectures import EGE, NarrowUNet
from nnunetv2_ext.architectures.unet.narrow import narrowed
from tests.plans import CONFIGURATIONS, arguments

NOTHING = {"mbtfe_stages": [], "ghpa_stages": [], "eab": False, "gab": False}


@pytest.mark.parametrize("plan", CONFIGURATIONS)
def test_it_is_the_plans_unet_with_fewer_features(plan: str) -> None:
    wide = arguments(plan) | {"features_per_stage": [32, 64, 128, 320][: arguments(plan)["n_stages"]]}
    narrow = NarrowUNet(**wide)
    features = (8, 16, 32, 80)[: narrow.plan.stages]
    unet = EGE(**NOTHING, **wide | {"features_per_stage": features})
    unet.load_state_dict(narrow.state_dict())
    x = torch.randn(2, 1, *CONFIGURATIONS[plan]["patch_size"])
    for ours, expected in zip(narrow(x), unet(x), strict=True):
        torch.testing.assert_close(ours, expected)


def test_the_width_is_rounded_to_whole_vectors() -> None:
    assert narrowed((32, 48, 100), 0.3) == (8, 16, 32)
    assert narrowed((32, 48, 100), 0.01) == (8, 8, 8)

"""What the branches are made of. Whole networks are in test_networks.py."""

import pytest
import torch

from nnunetv2_ext.architectures.medical_transformer.branch import Stem, shrink, up
from nnunetv2_ext.architectures.plan import Plan
from tests.plans import CONFIGURATIONS, arguments


def test_a_size_is_rounded_up() -> None:
    assert shrink((5, 8, 1), (2, 2, 3)) == (3, 4, 1)


@pytest.mark.parametrize("plan", CONFIGURATIONS)
def test_the_stem_leads_to_the_second_stage_with_the_plans_kernels(plan) -> None:
    made = Plan.from_arguments(arguments(plan))
    size = CONFIGURATIONS[plan]["patch_size"]
    stem = Stem(made, 4)
    strides = [a * b for a, b in zip(*made.strides[:2], strict=True)]
    assert stem(torch.randn(2, 1, *size)).shape == (2, 4, *shrink(size, strides))
    assert stem[0].kernel_size == tuple(7 if kernel > 1 else 1 for kernel in made.kernel_sizes[0])


def test_up_interpolates_without_aligned_corners_and_cuts_off_below_zero() -> None:
    x = torch.tensor([[[[-1.0, 1.0]]]])
    torch.testing.assert_close(up(x, (1, 4)), torch.tensor([[[[0.0, 0.0, 0.5, 1.0]]]]))

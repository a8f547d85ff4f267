import pytest
import torch

from nnunetv2_ext.architectures.blocks import EAB
from nnunetv2_ext.errors import InputSizeError, PlanError


def test_follows_an_anisotropic_plan():
    block = EAB((2, 3, 4), dimensions=3, strides=((1, 2, 2), (2, 2, 1)), kernel_sizes=((1, 3, 3), 3, 3))
    skips = [torch.randn(2, 2, 6, 8, 8), torch.randn(2, 3, 6, 4, 4), torch.randn(2, 4, 3, 2, 4)]
    assert [output.shape for output in block(skips)] == [skip.shape for skip in skips]


def test_scales_each_position_of_a_skip_by_one_factor():
    torch.manual_seed(0)
    skips = [torch.rand(2, c, *[s] * 2) + 0.5 for c, s in ((2, 8), (3, 4), (4, 2))]
    for output, skip in zip(EAB((2, 3, 4), dimensions=2)(skips), skips, strict=True):
        factor = output / skip
        torch.testing.assert_close(factor, factor[:, :1].expand_as(factor))
        assert ((factor > 0) & (factor < 1)).all()


def test_fewer_than_three_skips_are_refused():
    with pytest.raises(PlanError, match="got 2: the plan needs at least three stages"):
        EAB((2, 3), dimensions=3)


def test_sizes_out_of_ratio_are_refused():
    skips = [torch.zeros(1, 2, 9, 8), torch.zeros(1, 3, 5, 4), torch.zeros(1, 4, 3, 2)]
    with pytest.raises(InputSizeError, match=r"got a skip of size \(9, 8\) .* needs \(10, 8\)"):
        EAB((2, 3, 4), dimensions=2)(skips)

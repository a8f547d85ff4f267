import pytest
import torch

from nnunetv2_ext.architectures.blocks import GAB
from nnunetv2_ext.architectures.blocks.gab import DILATIONS, foreground_evidence
from nnunetv2_ext.errors import PlanError


def test_each_group_reaches_as_far_as_its_dilation():
    torch.manual_seed(0)
    block = GAB(3, 8, dimensions=2)
    for group, dilation in zip(block.groups, DILATIONS, strict=True):
        x = torch.randn(1, 5, 17, 17, requires_grad=True)
        group(x)[0, :, 8, 8].sum().backward()
        seen = x.grad.abs().amax((0, 1)).nonzero()
        assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [2 * dilation + 1] * 2


def test_an_axis_with_kernel_one_is_not_mixed():
    block = GAB(3, 8, dimensions=3, kernel_size=(1, 3, 3))
    for group in block.groups:
        assert group[1].kernel_size == (1, 3, 3)
        assert group[1].dilation[0] == 1
        assert group[1].padding[0] == 0


def test_the_mask_matters_in_every_group():
    torch.manual_seed(0)
    block, mask = GAB(3, 8, dimensions=2), torch.randn(1, 1, 6, 6, requires_grad=True)
    for group in block.groups:
        (gradient,) = torch.autograd.grad(group(torch.cat((torch.randn(1, 4, 6, 6), mask), 1)).square().sum(), mask)
        assert gradient.abs().max() > 0


def test_fewer_channels_than_groups_are_refused():
    with pytest.raises(PlanError, match="got a skip of 3 channels, needs at least 4"):
        GAB(3, 3, dimensions=2)


def test_evidence_is_the_log_odds_of_foreground():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 3, 3, dtype=torch.float64)
    background = logits.softmax(1)[:, :1]
    torch.testing.assert_close(foreground_evidence(logits), ((1 - background) / background).log())


def test_evidence_of_two_classes_is_the_paper_s_binary_logit():
    logits = torch.randn(2, 2, 3, 3)
    torch.testing.assert_close(foreground_evidence(logits), logits[:, 1:] - logits[:, :1])


def test_evidence_of_regions_is_the_largest():
    logits = torch.randn(2, 3, 3, 3)
    torch.testing.assert_close(foreground_evidence(logits, region_based=True), logits.amax(1, keepdim=True))
    torch.testing.assert_close(foreground_evidence(logits[:, :1]), logits[:, :1])

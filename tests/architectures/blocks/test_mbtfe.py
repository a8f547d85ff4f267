import torch
from torch import nn

from nnunetv2_ext.architectures.blocks import MBTFE


def test_is_a_convex_combination_of_its_branches():
    torch.manual_seed(0)
    block = MBTFE(3, 4, dimensions=3).eval()
    x = torch.randn(2, 3, 4, 5, 6)
    branches = torch.stack([branch(x) for branch in block.branches])
    output = block(x)
    assert (output <= branches.amax(0) + 1e-6).all()
    assert (output >= branches.amin(0) - 1e-6).all()


def test_weights_are_the_sample_s_own():
    torch.manual_seed(0)
    block = MBTFE(3, 4, dimensions=2).eval()
    x = torch.randn(3, 3, 6, 6)
    torch.testing.assert_close(block(x)[1:2], block(x[1:2]))


def test_reach_of_the_branches_is_one_three_five_and_seven():
    block = MBTFE(2, 2, dimensions=3).eval()
    for branch, reach in zip(block.branches, (1, 3, 5, 7), strict=True):
        x = torch.zeros(1, 2, 9, 9, 9, requires_grad=True)
        branch(x)[0, 0, 4, 4, 4].backward()
        seen = x.grad.abs().amax((0, 1)).nonzero()
        assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [reach] * 3


def test_an_axis_with_kernel_one_is_not_mixed():
    block = MBTFE(2, 2, dimensions=3, kernel_size=(1, 3, 3)).eval()
    for branch in block.branches:
        x = torch.zeros(1, 2, 9, 9, 9, requires_grad=True)
        branch(x)[0, 0, 4, 4, 4].backward()
        assert x.grad.abs().amax((0, 1)).nonzero()[:, 0].unique().tolist() == [4]


def test_norm_is_a_choice():
    block = MBTFE(2, 4, dimensions=3, norm=nn.InstanceNorm3d)
    assert sum(isinstance(module, nn.InstanceNorm3d) for module in block.modules()) == 7
    assert not any(isinstance(module, nn.BatchNorm3d) for module in block.modules())

import torch

from nnunetv2_ext.architectures.blocks import SpatialAttention


def test_one_factor_between_zero_and_one_for_all_channels():
    torch.manual_seed(0)
    x = torch.rand(2, 5, 4, 6, 7) + 0.5
    factor = SpatialAttention(dimensions=3)(x) / x
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor))
    assert ((factor > 0) & (factor < 1)).all()


def test_knows_no_order_of_channels():
    torch.manual_seed(0)
    attention, x, order = SpatialAttention(dimensions=2), torch.randn(2, 5, 6, 7), torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(attention(x[:, order]), attention(x)[:, order])

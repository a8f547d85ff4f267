import torch

from nnunetv2_ext.architectures.blocks import ChannelLayerNorm


def test_each_position_has_mean_zero_and_variance_one_over_the_channels():
    output = ChannelLayerNorm(16)(torch.randn(2, 16, 3, 4, 5) * 7 + 3)
    torch.testing.assert_close(output.mean(1), torch.zeros(2, 3, 4, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(output.var(1, unbiased=False), torch.ones(2, 3, 4, 5), atol=1e-4, rtol=0)


def test_half_precision_activations_whose_squares_overflow():
    torch.manual_seed(0)
    x = (torch.randn(1, 8, 2, 2).sign() * 6e4).half()
    with torch.autocast("cpu", dtype=torch.float16):
        output = ChannelLayerNorm(8)(x)
    torch.testing.assert_close(output.float(), ChannelLayerNorm(8)(x.float()), rtol=2e-3, atol=2e-3)

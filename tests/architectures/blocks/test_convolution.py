import torch
from dynamic_network_architectures.building_blocks.simple_conv_blocks import StackedConvBlocks
from torch import nn

from nnunetv2_ext.architectures.blocks import ConvStack


def test_equals_the_host_s_block_with_one_name_per_tensor():
    torch.manual_seed(0)
    host = StackedConvBlocks(
        2, nn.Conv3d, 3, 6, (1, 3, 3), (1, 2, 2), True, nn.InstanceNorm3d, {"affine": True}, nn.Dropout3d, {"p": 0.0},
        nn.LeakyReLU, {}, nonlin_first=True,
    )  # fmt: skip
    ours = ConvStack(
        2, nn.Conv3d, 3, 6, kernel_size=(1, 3, 3), stride=(1, 2, 2), bias=True, norm=nn.InstanceNorm3d,
        norm_arguments={"affine": True}, dropout=nn.Dropout3d, dropout_arguments={"p": 0.0}, nonlinearity=nn.LeakyReLU,
        nonlinearity_first=True,
    )  # fmt: skip
    weights = host.state_dict()
    ours.load_state_dict({key: weights[f"convs.{key}"] for key in ours.state_dict()})
    x = torch.randn(2, 3, 4, 6, 8)
    torch.testing.assert_close(ours(x), host(x))
    assert len(ours.state_dict()) == len({tensor.data_ptr() for tensor in host.state_dict(keep_vars=True).values()})

"""The stock plan that we write is the one the host writes."""

import json

import pytest
from dynamic_network_architectures.architectures.unet import PlainConvUNet

from nnunetv2_ext.planning.stock import stock_architecture, stock_arguments


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_it_is_what_the_hosts_planner_writes(dataset, configuration):
    plans = json.loads(json.dumps(dataset.plan_stock()))
    expected = plans["configurations"][configuration]["architecture"]
    features, strides, kernel_sizes = (
        expected["arch_kwargs"][name] for name in ("features_per_stage", "strides", "kernel_sizes")
    )
    assert stock_architecture(features, strides=strides, kernel_sizes=kernel_sizes) == expected


def test_its_arguments_build_the_network():
    architecture = stock_architecture([4, 6], strides=[[1, 1], [2, 1]], kernel_sizes=[[3, 3], [3, 1]])
    network = PlainConvUNet(**stock_arguments(architecture, input_channels=2, num_classes=3, deep_supervision=False))
    assert network.decoder.deep_supervision is False
    assert [layer.out_channels for layer in network.decoder.seg_layers] == [3]
    assert architecture["arch_kwargs"]["conv_op"] == "torch.nn.modules.conv.Conv2d"

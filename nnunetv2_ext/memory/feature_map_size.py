"""The memory of a network in the unit that nnU-Net's planner knows."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn

from nnunetv2_ext.memory.step import step_memory
from nnunetv2_ext.memory.weightless import without_weights


def feature_map_size(network: nn.Module, arguments: Mapping[str, Any], input_size: Sequence[int]) -> int:
    """What ``compute_conv_feature_map_size`` of the stock network would have to be for this network's memory.

    The planner knows how much memory a stock U-Net takes per element of its convolutions' outputs. We count the step of
    the network and of the stock network of the same plan, and scale the stock network's number by their ratio, so the
    planner's constants keep their meaning whatever a network keeps, recomputes or works on in chunks.

    Args:
        network: on any device; it stays as it is.
        arguments: of the stock ``PlainConvUNet`` of the same plan.
        input_size: spatial size of the patch.
    """
    stock = without_weights(lambda: PlainConvUNet(**arguments))
    patch = torch.zeros(1, arguments["input_channels"], *input_size, device="meta")
    ours, stocks = (step_memory(net, patch).activations for net in (_weightless_copy(network), stock))
    return round(int(stock.compute_conv_feature_map_size(list(input_size))) * ours / stocks)


def _weightless_copy(network: nn.Module) -> nn.Module:
    tensors = [*network.parameters(), *network.buffers()]
    memo = {
        id(x): nn.Parameter(x.to("meta"), x.requires_grad) if isinstance(x, nn.Parameter) else x.to("meta") for x in tensors
    }
    return deepcopy(network, memo).to("meta")

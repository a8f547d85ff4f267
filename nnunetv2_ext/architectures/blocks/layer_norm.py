"""Layer normalisation over the channels at each position."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_ext.architectures.precision import norm_in_input_dtype


class ChannelLayerNorm(nn.Module):
    """Layer normalisation over the channels, at each position by itself (ConvNeXt, arXiv 2201.03545).

    Args:
        channels: number of channels.
        eps: added to the variance.

    Shape:
        ``(N, channels, *spatial)`` to the same.
    """

    def __init__(self, channels: int, *, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        rows = x.movedim(1, -1)
        normalised = norm_in_input_dtype(functional.layer_norm, rows, self.weight.shape, self.weight, self.bias, self.eps)
        return normalised.movedim(-1, 1)

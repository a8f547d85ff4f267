"""Spatial attention from the mean and the maximum over the channels."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.operations import operations, per_axis, same_padding
from nnunetv2_ext.architectures.recompute.lazy import FeatureMap, LazyMap, TracedMap
from nnunetv2_ext.architectures.recompute.producers import Scaled


class SpatialAttention(nn.Module):
    """Scales each position by a sigmoid of a convolution over the channels' mean and maximum (CBAM, arXiv 1807.06521).

    Args:
        dimensions: number of spatial dimensions.
        kernel_size: kernel of the convolution, one number or one per axis.

    Shape:
        ``(N, C, *spatial)`` to the same, for any C.

    Example:
        >>> SpatialAttention(dimensions=3)(torch.zeros(2, 5, 4, 6, 7)).shape
        torch.Size([2, 5, 4, 6, 7])
    """

    def __init__(self, *, dimensions: int, kernel_size: int | Sequence[int] = 3) -> None:
        super().__init__()
        kernel = per_axis(kernel_size, dimensions)
        self.conv = operations(dimensions).convolution(2, 1, kernel, padding=same_padding(kernel))

    def forward(self, x: Tensor) -> Tensor:
        return x * self._attention(x)

    def lazy(self, x: Tensor) -> FeatureMap:
        """The same as a lazy feature map."""
        tensors = (x, self._attention(x))
        return TracedMap(torch.mul, tensors) if torch.compiler.is_compiling() else LazyMap(Scaled(), tensors)

    def _attention(self, x: Tensor) -> Tensor:
        summary = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)
        return torch.sigmoid(self.conv(summary))

"""The attention gate of the edge aggregation block."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_ext.architectures.blocks.shortcut import Shortcut, added
from nnunetv2_ext.architectures.operations import operations
from nnunetv2_ext.architectures.recompute.lazy import LazyMap, checkpointed, convolve
from nnunetv2_ext.architectures.recompute.modes import Recompute, run_block
from nnunetv2_ext.architectures.recompute.norm_activation import NormActivation, statistics

LEAKY_SLOPE = 0.01


class Gate(nn.Module):
    """Scales a skip by how well it agrees with a gating signal: sigmoid(norm(conv(LeakyReLU(w(u) + w(s))))) times s.

    An attention gate (arXiv 1804.03999) whose projection w (conv k1 and InstanceNorm) is the same for both inputs. From the
    nnU-Net modification notes. Differs: the two convolutions have no bias, because the InstanceNorm behind each removes it
    again and it would never get a gradient.

    Args:
        channels: channels of the gating signal and of the skip.
        hidden_channels: channels of the projection; as many by default.
        dimensions: number of spatial dimensions.
        shortcut: whether the scaled skip is added to the skip, see ``Shortcut``.
        recompute: mode of activation recomputation, see ``nnunetv2_ext.architectures.recompute``.

    Shape:
        signal and skip ``(N, channels, *spatial)`` to the same. The map has to hold more than one position.

    Example:
        >>> Gate(6, dimensions=3)(torch.zeros(2, 6, 4, 5, 6), torch.zeros(2, 6, 4, 5, 6)).shape
        torch.Size([2, 6, 4, 5, 6])
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int | None = None,
        *,
        dimensions: int,
        shortcut: bool = False,
        recompute: Recompute = "none",
    ) -> None:
        super().__init__()
        self.recompute: Recompute = recompute
        ops = operations(dimensions)
        hidden_channels = hidden_channels or channels
        self.project = nn.Sequential(
            ops.convolution(channels, hidden_channels, 1, bias=False), ops.instance_norm(hidden_channels)
        )
        self.score = nn.Sequential(ops.convolution(hidden_channels, 1, 1, bias=False), ops.instance_norm(1))
        self.shortcut = Shortcut() if shortcut else None

    def forward(self, signal: Tensor, skip: Tensor) -> Tensor:
        return run_block(self.recompute, self, self._plain, self._lazy, signal, skip)

    def _plain(self, signal: Tensor, skip: Tensor) -> Tensor:
        agreement = functional.leaky_relu(self.project(signal) + self.project(skip), LEAKY_SLOPE)
        return added(self.shortcut, skip, skip * torch.sigmoid(self.score(agreement)))

    def _lazy(self, signal: Tensor, skip: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return checkpointed(self._plain, (signal, skip))
        projection, norm = self.project
        eps: Any = norm.eps
        projected = convolve(projection, signal), convolve(projection, skip)
        score, score_norm = self.score
        moments = [statistics(x, instance=True) for x in projected]
        scales = [value for mean, variance in moments for value in (mean, (variance + eps).rsqrt())]
        agreement = LazyMap(NormActivation(2, affine=False, slope=LEAKY_SLOPE), (*projected, *scales))
        return added(self.shortcut, skip, skip * torch.sigmoid(score_norm(convolve(score, agreement))))

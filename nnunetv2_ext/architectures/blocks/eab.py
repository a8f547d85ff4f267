"""EAB, the edge aggregation block over the three finest skips."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.blocks.convolution import ConvBlock
from nnunetv2_ext.architectures.blocks.gate import Gate
from nnunetv2_ext.architectures.blocks.spatial_attention import SpatialAttention
from nnunetv2_ext.architectures.operations import operations, per_axis
from nnunetv2_ext.architectures.recompute.lazy import FeatureMap, materialize
from nnunetv2_ext.architectures.recompute.modes import Recompute, run_block
from nnunetv2_ext.architectures.recompute.norm_activation import lazy_chain
from nnunetv2_ext.errors import InputSizeError, PlanError


class EAB(nn.Module):
    """Edge aggregation: the three finest skips, attended and fused at the coarsest, gate each of the three.

    One shared spatial attention gives m0, m1, m2; d1 is m0 brought to the size of m1 by a strided convolution block,
    f = [block([d1, m1]), m2] has all channels at the size of m2. A convolution block of f gates the third skip; transposed
    convolutions of f, with kernel and stride equal to the ratio of sizes, gate the first two.

    From the nnU-Net modification notes. Differs: channels, strides and kernels follow the plan instead of 32/64/128 and 2,
    so anisotropic plans work; the gates' dead biases are dropped (see Gate).

    Args:
        channels: channels of the three skips, finest first.
        strides: strides between the first and second and between the second and third, one number or one per axis.
        kernel_sizes: kernels at the three resolutions, one number or one per axis.
        block_arguments: norm, nonlinearity and so on of the plan's ConvBlock.
        shortcut: whether what it makes of a skip is added to the skip, see ``Shortcut``.
        dimensions: number of spatial dimensions.
        recompute: mode of activation recomputation, see ``nnunetv2_ext.architectures.recompute``.

    Shape:
        three tensors ``(N, channels[i], *spatial[i])`` to a list of the same, where spatial[i] = strides[i] * spatial[i + 1].

    Raises:
        PlanError: unless there are three skips.
        InputSizeError: if the sizes are not in the ratio of the strides.
    """

    def __init__(
        self,
        channels: Sequence[int],
        *,
        dimensions: int,
        strides: Sequence[int | Sequence[int]] = (2, 2),
        kernel_sizes: Sequence[int | Sequence[int]] = (3, 3, 3),
        block_arguments: dict[str, Any] | None = None,
        shortcut: bool = False,
        recompute: Recompute = "none",
    ) -> None:
        super().__init__()
        if len(channels) != 3:
            raise PlanError(
                f"EAB aggregates the three finest resolutions, got {len(channels)}: the plan needs at least three stages. "
                "Use a preset without EAB, or a larger patch."
            )
        self.recompute: Recompute = recompute
        ops = operations(dimensions)
        arguments = block_arguments or {}
        first, second, third = channels
        fused = first + second + third
        self.strides = [per_axis(stride, dimensions) for stride in strides]
        whole_stride = tuple(a * b for a, b in zip(*self.strides, strict=True))
        kernels = [per_axis(kernel, dimensions) for kernel in kernel_sizes]

        self.attention = SpatialAttention(dimensions=dimensions, kernel_size=kernels[0])
        self.down = nn.ModuleList(
            ConvBlock(ops.convolution, width, width, kernel_size=kernel, stride=stride, **arguments)
            for width, kernel, stride in zip((first, first + second), kernels[1:], self.strides, strict=True)
        )
        self.up = nn.ModuleList(
            (
                ops.transposed_convolution(fused, first, whole_stride, whole_stride, bias=False),
                ops.transposed_convolution(fused, second, self.strides[1], self.strides[1], bias=False),
                ConvBlock(ops.convolution, fused, third, kernel_size=kernels[2], **arguments),
            )
        )
        lazily: Recompute = "none" if recompute == "none" else "selective"
        self.gates = nn.ModuleList(
            Gate(width, dimensions=dimensions, shortcut=shortcut, recompute=lazily) for width in channels
        )

    def forward(self, skips: Sequence[Tensor]) -> list[Tensor]:
        self._check_sizes(skips)
        return run_block(self.recompute, self, self._plain, self._lazy, *skips)

    def _plain(self, *skips: Tensor) -> list[Tensor]:
        attended = [self.attention(skip) for skip in skips]
        fused = attended[0]
        for down, finer in zip(self.down, attended[1:], strict=True):
            fused = torch.cat((down(fused), finer), 1)
        return [gate(up(fused), skip) for gate, up, skip in zip(self.gates, self.up, skips, strict=True)]

    def _lazy(self, *skips: Tensor) -> list[Tensor]:
        attended = [self.attention.lazy(skip) for skip in skips]
        fused: FeatureMap = attended[0]
        for down, finer in zip(self.down, attended[1:], strict=True):
            fused = torch.cat((materialize(lazy_chain([down], fused)), materialize(finer)), 1)
        signals = (self.up[0](fused), self.up[1](fused), materialize(lazy_chain([self.up[2]], fused)))
        return [gate(signal, skip) for gate, signal, skip in zip(self.gates, signals, skips, strict=True)]

    def _check_sizes(self, skips: Sequence[Tensor]) -> None:
        for finer, coarser, stride in zip(skips[:2], skips[1:], self.strides, strict=True):
            needed = tuple(size * step for size, step in zip(coarser.shape[2:], stride, strict=True))
            if tuple(finer.shape[2:]) != needed:
                raise InputSizeError(
                    f"EAB got a skip of size {tuple(finer.shape[2:])} above one of size {tuple(coarser.shape[2:])} with "
                    f"stride {stride}, needs {needed}: choose a patch divisible by the product of the strides"
                )

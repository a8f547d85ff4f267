"""One branch of the Medical Transformer: stem, layers of axial blocks, and a decoder of additions."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_ext.architectures.medical_transformer.axial_attention import Position
from nnunetv2_ext.architectures.medical_transformer.axial_block import AxialBlock
from nnunetv2_ext.architectures.operations import operations, resize, same_padding
from nnunetv2_ext.architectures.plan import Plan

STEM_WIDTH = 128
"""Channels in the middle of the stem, independent of the width of the network."""
DOUBLINGS = 3
"""How often the width doubles: the published networks have four layers, further layers are as wide as the fourth."""


@dataclass(frozen=True)
class Layout:
    """What the branches of a network share, in the paper's units."""

    blocks: Sequence[int]
    heads: int
    width: float
    attention: bool

    def stem(self) -> int:
        """Channels behind the stem."""
        return int(64 * self.width)

    def channels(self, stage: int) -> int:
        """Channels of a stage; stage 0 is the end of the decoder."""
        return int(128 * self.width) * 2 ** min(stage, DOUBLINGS + 1)

    def blocks_of(self, stage: int) -> int:
        return self.blocks[min(stage, len(self.blocks)) - 1]


def convolution_of(plan: Plan, stage: int, in_channels: int, out_channels: int, *, strided: bool = False) -> nn.Module:
    """A convolution with a stage's kernel and, if ``strided``, its stride."""
    kernel, stride = plan.kernel_sizes[stage], plan.strides[stage] if strided else 1
    return plan.convolution(in_channels, out_channels, kernel, stride=stride, padding=same_padding(kernel))


class Stem(nn.Sequential):
    """Convolutions k7 with a stride, k3 and k3, each with BatchNorm and ReLU, from the input to the resolution of stage 1.

    Along an axis where the plan's first kernel is 1, the k7 is a k1.
    """

    def __init__(self, plan: Plan, channels: int) -> None:
        large = tuple(7 if kernel > 1 else 1 for kernel in plan.kernel_sizes[0])
        stride = tuple(first * second for first, second in zip(*plan.strides[:2], strict=True))
        small = plan.kernel_sizes[1]
        widths = (plan.input_channels, channels, STEM_WIDTH, channels)
        super().__init__()
        for index, (kernel, step) in enumerate(((large, stride), (small, 1), (small, 1))):
            self.append(
                plan.convolution(
                    widths[index], widths[index + 1], kernel, stride=step, padding=same_padding(kernel), bias=False
                )
            )
            self.append(operations(plan.dimensions).batch_norm(widths[index + 1]))
            self.append(nn.ReLU(inplace=True))


class AxialBranch(nn.Module):
    """Stem, layers of axial blocks, and a decoder that adds the skips.

    The stem leads to stage 1 of the plan; from there each layer of blocks is a stage, the first without a stride. With
    ``bottleneck``, a strided convolution leads to the plan's next stage. Each stage of the decoder is a convolution,
    interpolation (corners not aligned) and ReLU, and adds the skip of the stage it reaches.

    Args:
        plan: the plan.
        layout: what the branches of a network share.
        size: spatial size of the input for which the position embeddings are built.
        layers: number of layers.
        stem_channels: channels behind the stem.
        position: ``"with"``, ``"gated"`` or ``"without"``.
        bottleneck: whether there is a stage behind the last layer.

    Shape:
        ``(N, input_channels, *spatial)``, of any size, to ``layers + 1`` feature maps, finest first: one at the resolution of
        the plan's stage 0, one of stage 1, and so on; sizes that a stride doesn't divide are rounded up.
    """

    def __init__(
        self,
        plan: Plan,
        layout: Layout,
        *,
        size: Sequence[int],
        layers: int,
        stem_channels: int,
        position: Position,
        bottleneck: bool,
    ) -> None:
        super().__init__()
        self.stem = Stem(plan, stem_channels)
        self.first_stride = plan.strides[0]
        self.layers = nn.ModuleList()
        channels, size = stem_channels, shrink(size, plan.strides[0])
        for stage in range(1, layers + 1):
            stride = (1,) * plan.dimensions if stage == 1 else plan.strides[stage]
            if stage == 1:
                size = shrink(size, plan.strides[1])
            layer = nn.Sequential()
            for block in range(layout.blocks_of(stage)):
                layer.append(
                    AxialBlock(
                        channels,
                        layout.channels(stage),
                        dimensions=plan.dimensions,
                        size=size,
                        heads=layout.heads,
                        position=position,
                        attention=layout.attention,
                        stride=1 if block else stride,
                    )
                )
                channels = layout.channels(stage)
                size = size if block else shrink(size, stride)
            self.layers.append(layer)
        self.bottleneck = convolution_of(plan, layers + 1, channels, channels, strided=True) if bottleneck else None
        # Coarsest first. A convolution of the decoder works at the resolution of its input.
        self.decoder = nn.ModuleList(
            convolution_of(plan, stage, layout.channels(stage), layout.channels(stage - 1)) for stage in range(layers, 0, -1)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        sizes = [shrink(x.shape[2:], self.first_stride)]
        skips = []
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
            skips.append(x)
            sizes.append(x.shape[2:])
        if self.bottleneck is not None:
            x = up(self.bottleneck(x), sizes[-1]) + x
        features = [x]
        for convolution, size, skip in zip(self.decoder, sizes[-2::-1], [*skips[-2::-1], None], strict=True):
            x = up(convolution(x), size)
            x = x if skip is None else x + skip
            features.append(x)
        return features[::-1]


def shrink(size: Sequence[int], stride: Sequence[int]) -> tuple[int, ...]:
    """The size behind a stride, rounded up."""
    return tuple(-(-length // step) for length, step in zip(size, stride, strict=True))


def up(x: Tensor, size: Sequence[int]) -> Tensor:
    return functional.relu(resize(x, size, align_corners=False))

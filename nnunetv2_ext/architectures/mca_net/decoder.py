"""The decoder of MCANet."""

from collections.abc import Sequence
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.blocks.convolution import ConvBlock
from nnunetv2_ext.architectures.mca_net.cross_axis_attention import CrossAxisAttention
from nnunetv2_ext.architectures.network import keep_in_graph
from nnunetv2_ext.architectures.operations import operations, resize
from nnunetv2_ext.architectures.plan import Plan
from nnunetv2_ext.architectures.recompute.lazy import materialize
from nnunetv2_ext.architectures.recompute.modes import Recompute, run_block
from nnunetv2_ext.architectures.recompute.norm_activation import lazy_chain


class Squeeze(nn.Module):
    """A convolution block k1 of several maps, interpolated to one size and concatenated.

    Each map is projected at its own size and interpolated then: the same, since the two commute, but the concatenation, with
    the channels of all stages at a fine resolution, never exists.

    Args:
        convolution: ``torch.nn.Conv2d`` or ``torch.nn.Conv3d``.
        in_channels: the sum of the maps' channels.
        out_channels: channels of the output.
        block_arguments: norm, nonlinearity and so on of the ConvBlock.
        align_corners: of the interpolation.

    Shape:
        maps ``(N, C_i, *spatial_i)`` and a size to ``(N, out_channels, *size)``.
    """

    def __init__(
        self,
        convolution: type[nn.Module],
        in_channels: int,
        out_channels: int,
        block_arguments: dict[str, Any],
        *,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self.interpolate = partial(resize, align_corners=align_corners)
        self.block = ConvBlock(convolution, in_channels, out_channels, kernel_size=1, **block_arguments)

    def forward(self, maps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        convolution, *further = self.block
        weight, *biases = convolution.parameters()
        parts = zip(maps, weight.flatten(1).split([x.shape[1] for x in maps], 1), strict=True)
        x = reduce(torch.add, (self.interpolate(torch.einsum("oi,ni...->no...", part, x), size) for x, part in parts))
        for bias in biases:
            x = x + bias.reshape(-1, *(1 for _ in size))
        for layer in further:
            x = layer(x)
        return x


class MCADecoder(nn.Module):
    """The decoder of MCANet: all maps but the finest squeezed and attended, the finest added, two separable convolutions.

    Args:
        plan: the plan.
        heads: heads of the attention.
        attention: whether there is one.
        attention_stage: stage of the plan at whose resolution it works.
        dropout: share of the channels dropped before the last convolution.
        align_corners: of all interpolations; the authors' default is not to.
        recompute: mode of activation recomputation, see ``nnunetv2_ext.architectures.recompute``.

    Shape:
        one feature map per stage, finest first, to logits ``(N, num_classes, *spatial)``: with ``deep_supervision`` a list,
        finest first, of the output and predictions from the attended map, at the resolutions of stages 1 to n_stages - 2.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        heads: int = 8,
        attention: bool = True,
        attention_stage: int = 1,
        dropout: float = 0.1,
        align_corners: bool = False,
        recompute: Recompute = "none",
    ) -> None:
        super().__init__()
        self.recompute: Recompute = recompute
        self.deep_supervision = plan.deep_supervision
        self.attention_stage = attention_stage
        # a norm takes away the bias of the convolution before it
        block = {**plan.block_arguments, "bias": plan.block_arguments["norm"] is None}
        finest, width, kernel = plan.features[0], plan.features[1], plan.kernel_sizes[0]
        fused = finest + width

        self.interpolate = partial(resize, align_corners=align_corners)
        self.squeeze = Squeeze(plan.convolution, sum(plan.features[1:]), width, block, align_corners=align_corners)
        self.attention: nn.Module = nn.Identity()
        if attention:
            self.attention = CrossAxisAttention(
                width, dimensions=plan.dimensions, heads=heads, kernel_size=plan.kernel_sizes[attention_stage]
            )
        self.refine = nn.Sequential()
        for _ in range(2):
            self.refine.append(ConvBlock(plan.convolution, fused, fused, kernel_size=kernel, groups=fused, **block))
            self.refine.append(ConvBlock(plan.convolution, fused, fused, kernel_size=1, **block))
        self.refine.append(ConvBlock(plan.convolution, fused, finest, kernel_size=1, **block))
        self.dropout = operations(plan.dimensions).channel_dropout(dropout)
        # Order (coarsest first) and names are nnU-Net's: it looks for 'seg_layers' when it loads pretrained weights.
        self.seg_layers = nn.ModuleList(plan.convolution(width, plan.num_classes, 1) for _ in range(plan.stages - 2))
        self.seg_layers.append(plan.convolution(finest, plan.num_classes, 1))

    def forward(self, maps: Sequence[Tensor]) -> Tensor | list[Tensor]:
        finest, *others = maps
        attended = self.attention(self.squeeze(others, maps[self.attention_stage].shape[2:]))
        x = torch.cat((self.interpolate(attended, finest.shape[2:]), finest), 1)
        recompute: Recompute = "none" if self.recompute == "none" else "selective"
        x = materialize(run_block(recompute, self.refine, self.refine, partial(lazy_chain, self.refine), x))
        output = self.seg_layers[-1](self.dropout(x))
        heads = self.seg_layers[:-1]
        if not self.deep_supervision:
            return keep_in_graph(output, heads)
        stages = reversed(maps[1:-1])
        coarser = [head(self.interpolate(attended, x.shape[2:])) for head, x in zip(heads, stages, strict=True)]
        return [output, *reversed(coarser)]

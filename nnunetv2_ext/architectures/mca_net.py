"""MCANet: cross-axis attention over all stages of the plan's encoder."""

from collections.abc import Sequence
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from nnunetv2_ext.architectures.blocks.convolution import ConvBlock
from nnunetv2_ext.architectures.blocks.cross_axis_attention import CrossAxisAttention
from nnunetv2_ext.architectures.blocks.deferred import made
from nnunetv2_ext.architectures.blocks.normalised import chain
from nnunetv2_ext.architectures.blocks.recompute import Form, in_form
from nnunetv2_ext.architectures.encoder import PlainConvEncoder
from nnunetv2_ext.architectures.network import Network, keep_in_graph
from nnunetv2_ext.architectures.operations import operations, resize
from nnunetv2_ext.architectures.plan import Plan, PlanArguments
from nnunetv2_ext.errors import PlanError

# the authors interpolate without aligned corners
interpolate = partial(resize, align_corners=False)


class Squeeze(nn.Module):
    """A convolution block k1 of several maps, interpolated to one size and concatenated.

    Each map is projected at its own size and interpolated then: the same, since the two commute, but the concatenation, with
    the channels of all stages at a fine resolution, never exists.

    Args:
        convolution: ``torch.nn.Conv2d`` or ``torch.nn.Conv3d``.
        in_channels: the sum of the maps' channels.
        out_channels: channels of the output.
        block_arguments: norm, nonlinearity and so on of the ConvBlock.

    Shape:
        maps ``(N, C_i, *spatial_i)`` and a size to ``(N, out_channels, *size)``.
    """

    def __init__(
        self, convolution: type[nn.Module], in_channels: int, out_channels: int, block_arguments: dict[str, Any]
    ) -> None:
        super().__init__()
        self.block = ConvBlock(convolution, in_channels, out_channels, kernel_size=1, **block_arguments)

    def forward(self, maps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        convolution, *further = self.block
        weight, *biases = convolution.parameters()
        parts = zip(maps, weight.flatten(1).split([x.shape[1] for x in maps], 1), strict=True)
        x = reduce(torch.add, (interpolate(torch.einsum("oi,ni...->no...", part, x), size) for x, part in parts))
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
        form: how a training step is computed, see ``MBTFE``.

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
        form: Form = "plain",
    ) -> None:
        super().__init__()
        self.form: Form = form
        self.deep_supervision = plan.deep_supervision
        self.attention_stage = attention_stage
        # a norm takes away the bias of the convolution before it
        block = {**plan.block_arguments, "bias": plan.block_arguments["norm"] is None}
        finest, width, kernel = plan.features[0], plan.features[1], plan.kernel_sizes[0]
        fused = finest + width

        self.squeeze = Squeeze(plan.convolution, sum(plan.features[1:]), width, block)
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
        # From the coarsest to the finest, and named, as in the host: it knows 'seg_layers' when it loads pretrained weights.
        self.seg_layers = nn.ModuleList(plan.convolution(width, plan.num_classes, 1) for _ in range(plan.stages - 2))
        self.seg_layers.append(plan.convolution(finest, plan.num_classes, 1))

    def forward(self, maps: Sequence[Tensor]) -> Tensor | list[Tensor]:
        finest, *others = maps
        attended = self.attention(self.squeeze(others, maps[self.attention_stage].shape[2:]))
        x = torch.cat((interpolate(attended, finest.shape[2:]), finest), 1)
        form: Form = "plain" if self.form == "plain" else "fast"
        x = made(in_form(form, self.refine, self.refine, partial(chain, self.refine), x))
        output = self.seg_layers[-1](self.dropout(x))
        heads = self.seg_layers[:-1]
        if not self.deep_supervision:
            return keep_in_graph(output, heads)
        stages = reversed(maps[1:-1])
        coarser = [head(interpolate(attended, x.shape[2:])) for head, x in zip(heads, stages, strict=True)]
        return [output, *reversed(coarser)]


class MCANet(Network):
    """MCANet (Shao et al., arXiv 2312.08866): an encoder and the multi-scale cross-axis attention decoder.

    The encoder is that of the plan. Its finest map is the paper's E1; the maps of all other stages, the paper's E2 to E4, are
    squeezed to as many channels as the second stage has and attended there.

    Differs from the paper: nD; the plan's encoder instead of MSCAN, norm and nonlinearity of the plan, any number of stages;
    the output has the resolution of the input, where the paper's has a quarter of it. The paper attends at the resolution of
    its E1. Here the default is that of stage 1, because nothing finer enters the attention and a volume has an eighth of the
    voxels there; ``attention_stage=0`` is the paper's wiring. The paper has one output; those of deep supervision are a
    conv k1 of the attended map, interpolated to each stage.

    Args:
        heads: heads of the attention, a divisor of the second stage's features.
        attention: whether there is an attention; without it the squeezed maps pass as they are.
        attention_stage: stage of the plan at whose resolution the attention works.
        dropout: share of the channels dropped before the last convolution, in training.
        form: how a training step is computed: ``"plain"``, or ``"fast"``, which keeps what the convolutions give and makes
            norms and nonlinearities again in the backward. The results are the same.
        arguments: those of PlainConvUNet.

    Shape:
        ``(N, input_channels, *spatial)`` to logits ``(N, num_classes, *spatial)``; with deep supervision a list of them, one
        per stage but the coarsest, finest first. Each axis has to be divisible by the product of the plan's strides along it:
        strides (1, 2, 2, 2) serve a patch of 40x56x40 but not of 44x56x40.

    Raises:
        PlanError: if there are fewer than two stages, no stage ``attention_stage``, or the heads don't divide the channels.
        InputSizeError: before the first convolution, if the input doesn't fit.

    Example:
        >>> plan = dict(input_channels=1, num_classes=2, n_stages=3, features_per_stage=[8, 16, 24], conv_op=nn.Conv2d)
        >>> plan |= dict(kernel_sizes=3, strides=[1, 2, 2], n_conv_per_stage=2, n_conv_per_stage_decoder=2)
        >>> MCANet(**plan)(torch.zeros(1, 1, 16, 24)).shape
        torch.Size([1, 2, 16, 24])
    """

    def __init__(
        self,
        *,
        heads: int = 8,
        attention: bool = True,
        attention_stage: int = 1,
        dropout: float = 0.1,
        form: Form = "fast",
        **arguments: Unpack[PlanArguments],
    ) -> None:
        super().__init__(**arguments)
        stages = self.plan.stages
        if stages < 2:
            raise PlanError(f"MCANet got a plan of {stages} stage, needs at least two: use a larger patch")
        if attention_stage not in range(stages):
            raise PlanError(f"attention_stage is {attention_stage}, the plan has stages 0 to {stages - 1}")
        self.encoder = PlainConvEncoder(self.plan, form=form)
        self.decoder = MCADecoder(
            self.plan, heads=heads, attention=attention, attention_stage=attention_stage, dropout=dropout, form=form
        )

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        self.plan.check_input(x.shape, training=self.training)
        return self.decoder(self.encoder(x))

"""nnU-Net's PlainConvEncoder, extended with blocks behind its stages and on its skips."""

from collections.abc import Mapping

from torch import Tensor, nn

from nnunetv2_ext.architectures.blocks.convolution import ConvStack
from nnunetv2_ext.architectures.blocks.eab import EAB
from nnunetv2_ext.architectures.plan import Plan
from nnunetv2_ext.architectures.recompute.modes import Recompute


class PlainConvEncoder(nn.Module):
    """The encoder of PlainConvUNet with blocks added to it.

    In each stage the plan's convolutions come first, then its blocks in the order in which their kinds are given; the output
    goes to the next stage and to the skip. Blocks on skips and EAB then refine the skips, for the decoder alone.

    Args:
        plan: the plan.
        blocks: kinds of blocks by name, each of which has one block for some of the stages.
        skip_blocks: a block for the skips of some of the stages.
        eab: whether the three finest skips go through an EAB.
        shortcuts: whether EAB adds to the skips.
        recompute: mode of activation recomputation, see ``nnunetv2_ext.architectures.recompute``.

    Shape:
        ``(N, input_channels, *spatial)`` to one feature map per stage, finest first.

    Raises:
        PlanError: if EAB gets fewer than three skips.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        blocks: Mapping[str, Mapping[int, nn.Module]] | None = None,
        skip_blocks: Mapping[int, nn.Module] | None = None,
        eab: bool = False,
        shortcuts: bool = False,
        recompute: Recompute = "none",
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        self.kinds = tuple(blocks or {})
        for kind, placed in (blocks or {}).items():
            self.add_module(kind, nn.ModuleDict({str(stage): block for stage, block in placed.items()}))
        self.skip_blocks = nn.ModuleDict({str(stage): block for stage, block in (skip_blocks or {}).items()})
        channels = plan.input_channels
        for stage, (width, kernel, stride) in enumerate(zip(plan.features, plan.kernel_sizes, plan.strides, strict=True)):
            self.stages.append(
                ConvStack(
                    plan.convolutions[stage],
                    plan.convolution,
                    channels,
                    width,
                    kernel_size=kernel,
                    stride=stride,
                    recompute=recompute,
                    **plan.block_arguments,
                )
            )
            channels = width
        self.eab: EAB | None = None
        if eab:
            self.eab = EAB(
                plan.features[:3],
                dimensions=plan.dimensions,
                strides=plan.strides[1:3],
                kernel_sizes=plan.kernel_sizes[:3],
                block_arguments=plan.block_arguments,
                shortcut=shortcuts,
                recompute=recompute,
            )

    def forward(self, x: Tensor) -> list[Tensor]:
        skips = []
        for stage, convolutions in enumerate(self.stages):
            x = convolutions(x)
            for kind in self.kinds:
                blocks: nn.ModuleDict = getattr(self, kind)
                if str(stage) in blocks:
                    x = blocks[str(stage)](x)
            skips.append(self.skip_blocks[str(stage)](x) if str(stage) in self.skip_blocks else x)
        if self.eab is not None:
            skips[:3] = self.eab(skips[:3])
        return skips

"""The plan's U-Net with one kind of block in it."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

from torch import Tensor
from typing_extensions import Unpack

from nnunetv2_ext.architectures.network import Network, located
from nnunetv2_ext.architectures.plan import PlanArguments
from nnunetv2_ext.architectures.recompute.modes import Recompute
from nnunetv2_ext.architectures.unet.decoder import UNetDecoder
from nnunetv2_ext.architectures.unet.encoder import PlainConvEncoder
from nnunetv2_ext.architectures.unet.place import place

Stages = Literal["all"] | Collection[int]


class BlockUNet(Network):
    """The U-Net of a plan with a block behind its encoder stages, on its skips, in its bottleneck or behind its decoder stages.

    Without any it is PlainConvUNet. A block behind an encoder stage feeds the next stage and the skip, one on a skip the
    decoder alone.

    Args:
        block: dotted path of the block's class; ``nnunetv2_ext.architectures.unet.place`` says what it is built with.
        block_arguments: further arguments of the block.
        encoder: encoder stages, 0 for the finest, or ``"all"`` of them without the bottleneck.
        skips: the skips of these stages, or ``"all"``.
        bottleneck: whether it is behind the coarsest stage.
        decoder: decoder stages, 0 for the finest, or ``"all"``.
        recompute: mode of activation recomputation, see ``nnunetv2_ext.architectures.recompute``; for the U-Net, and for a
            block whose constructor takes it.
        arguments: those of PlainConvUNet.

    Shape:
        ``(N, input_channels, *spatial)`` to logits ``(N, num_classes, *spatial)``; with deep supervision a list of them, one
        per stage but the coarsest, finest first.

    Raises:
        PresetError: if there is no such block.
        PlanError: if the plan has no such stage, or the block can't be built or changes the shape.
        InputSizeError: before the first convolution, if the input doesn't fit.
    """

    def __init__(
        self,
        *,
        block: str,
        block_arguments: Mapping[str, Any] | None = None,
        encoder: Stages = (),
        skips: Stages = (),
        bottleneck: bool = False,
        decoder: Stages = (),
        recompute: Recompute = "full",
        **arguments: Unpack[PlanArguments],
    ) -> None:
        super().__init__(**arguments)
        found = located(block)
        plan, last = self.plan, self.plan.stages - 1

        def placed(where: str, stages: Stages, count: int = plan.stages) -> dict[int, Any]:
            chosen = range(last) if stages == "all" else [int(stage) for stage in stages]
            return place(found, plan, chosen, where=where, stage_count=count, recompute=recompute, **(block_arguments or {}))

        in_encoder = placed("encoder", encoder) | (placed("bottleneck", [last]) if bottleneck else {})
        on_skips, in_decoder = placed("skips", skips), placed("decoder", decoder, last)
        self.encoder = PlainConvEncoder(plan, blocks={"blocks": in_encoder}, skip_blocks=on_skips, recompute=recompute)
        self.decoder = UNetDecoder(plan, blocks=in_decoder, recompute=recompute)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        self.check_input(x.shape)
        return self.decoder(self.encoder(x))

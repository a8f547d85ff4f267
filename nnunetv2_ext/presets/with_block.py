"""Presets of a block of one's own in the plan's U-Net."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

from nnunetv2_ext.presets.preset import Preset, path_of

BLOCK_UNET = "nnunetv2_ext.architectures.unet.BlockUNet"


def with_block(
    name: str,
    block: type | str,
    *,
    encoder: Literal["all"] | Collection[int] = (),
    skips: Literal["all"] | Collection[int] = (),
    bottleneck: bool = False,
    decoder: Literal["all"] | Collection[int] = (),
    arguments: Mapping[str, Any] | None = None,
    summary: str = "",
    **more: Any,
) -> Preset:
    """A preset of the plan's U-Net with a block in it, with nnU-Net's recipe unless it is given another.

    Args:
        name: of the preset.
        block: the block's class, or its dotted path. Its constructor is given what it takes of ``channels`` (or
            ``in_channels`` and ``out_channels``), ``dimensions`` (or ``spatial_dims``) and ``kernel_size`` of the stage.
        encoder: the encoder stages that it is behind, 0 for the finest, or ``"all"``.
        skips: the stages whose skips go through it, or ``"all"``.
        bottleneck: whether it is behind the coarsest stage.
        decoder: the decoder stages that it is behind, 0 for the finest, or ``"all"``.
        arguments: further arguments of the block, which a plan can hold as JSON.
        summary: what ``nnUNetv2_ext list`` says of it.
        more: further arguments of a Preset.
    """
    places = {"encoder": encoder, "skips": skips, "decoder": decoder}
    return Preset(
        name,
        summary=summary or f"the plan's U-Net with {path_of(block).rpartition('.')[2]}",
        network=BLOCK_UNET,
        arguments={
            "block": path_of(block),
            "block_arguments": dict(arguments or {}),
            "bottleneck": bottleneck,
            **{place: stages if stages == "all" else list(stages) for place, stages in places.items()},
        },
        **more,
    )

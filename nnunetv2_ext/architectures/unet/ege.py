"""EGE: the plan's U-Net with MBTFE and EAB in its encoder, GHPA in its deep stages and GAB over its skips."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from torch import Tensor, nn
from typing_extensions import Unpack

from nnunetv2_ext.architectures.blocks.ghpa import GHPA
from nnunetv2_ext.architectures.blocks.mbtfe import MBTFE
from nnunetv2_ext.architectures.network import Network
from nnunetv2_ext.architectures.plan import Plan, PlanArguments
from nnunetv2_ext.architectures.recompute.modes import Recompute
from nnunetv2_ext.architectures.unet.decoder import UNetDecoder
from nnunetv2_ext.architectures.unet.encoder import PlainConvEncoder
from nnunetv2_ext.architectures.unet.place import place
from nnunetv2_ext.errors import PlanError


class GHPALayer(nn.Sequential):
    """GHPA with the plan's norm and nonlinearity behind it, as EGE-UNet has its own behind each."""

    def __init__(self, channels: int, kernel_size: tuple[int, ...], plan: Plan, recompute: Recompute) -> None:
        arguments = plan.block_arguments
        super().__init__(GHPA(channels, channels, dimensions=plan.dimensions, kernel_size=kernel_size, recompute=recompute))
        if arguments["norm"] is not None:
            self.append(arguments["norm"](channels, **(arguments["norm_arguments"] or {})))
        if arguments["nonlinearity"] is not None:
            options = dict(arguments["nonlinearity_arguments"] or {})
            if arguments["norm"] is None and "inplace" in options:
                options["inplace"] = False  # GHPA may return a view, which autograd does not allow to overwrite
            self.append(arguments["nonlinearity"](**options))


class EGE(Network):
    """The U-Net of a plan, extended with MBTFE, EAB, GHPA and GAB, each of which can be left out.

    Without all of them it is PlainConvUNet. Each part adds to what it refines, times a learned scale that is zero at first
    (``Shortcut``), so the training starts from PlainConvUNet. GHPA and GAB are those of EGE-UNet (arXiv 2307.08473), MBTFE and
    EAB those of the nnU-Net modification notes; combining them in a plan's U-Net is this package's own design.

    Args:
        mbtfe_stages: the stages that have an MBTFE; None for every stage, an empty list for none.
        ghpa_stages: the stages that have a GHPA; None for the deeper half, an empty list for none.
        eab: whether an EAB refines the three finest skips.
        gab: whether GABs bridge the skips.
        mbtfe_norm: norm in MBTFE, ``"batch"`` as published or ``"plan"`` for the plan's own.
        shortcuts: whether the parts add to what they refine. Without, their output takes its place, as in the notes, and the
            plan's norm and nonlinearity follow each GHPA.
        recompute: mode of activation recomputation, see ``nnunetv2_ext.architectures.recompute``.
        region_based: whether the classes are regions.
        arguments: those of PlainConvUNet.

    Shape:
        ``(N, input_channels, *spatial)`` to logits ``(N, num_classes, *spatial)``; with deep supervision a list of them, one
        per stage but the coarsest, finest first. Each axis has to be divisible by the product of the plan's strides along it:
        strides (1, 2, 2, 2) serve a patch of 40x56x40 but not of 44x56x40.

    Raises:
        PlanError: if EAB or GAB has fewer than three stages to work on, GHPA fewer than n + 2 channels, or MBTFE no norm.
        InputSizeError: before the first convolution, if the input doesn't fit.
    """

    def __init__(
        self,
        *,
        mbtfe_stages: Collection[int] | None = None,
        ghpa_stages: Collection[int] | None = None,
        eab: bool = True,
        gab: bool = True,
        mbtfe_norm: str = "batch",
        shortcuts: bool = True,
        recompute: Recompute = "full",
        region_based: bool = False,
        **arguments: Unpack[PlanArguments],
    ) -> None:
        super().__init__(**arguments)
        plan, stages = self.plan, range(self.plan.stages)
        in_mbtfe = stages if mbtfe_stages is None else mbtfe_stages
        in_ghpa = stages[len(stages) // 2 :] if ghpa_stages is None else ghpa_stages
        mbtfe: dict[str, Any] = {"norm": _norm(mbtfe_norm, plan), "shortcut": shortcuts}
        ghpa, more = (GHPA, {"shortcut": True}) if shortcuts else (GHPALayer, {})
        blocks = {
            "mbtfe": place(MBTFE, plan, in_mbtfe, where="mbtfe_stages", recompute=recompute, **mbtfe),
            "ghpa": place(ghpa, plan, in_ghpa, where="ghpa_stages", recompute=recompute, **more),
        }
        self.encoder = PlainConvEncoder(plan, blocks=blocks, eab=eab, shortcuts=shortcuts, recompute=recompute)
        self.decoder = UNetDecoder(plan, gab=gab, shortcuts=shortcuts, region_based=region_based, recompute=recompute)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        self.check_input(x.shape)
        return self.decoder(self.encoder(x))


def _norm(name: str, plan: Plan) -> Callable[[int], nn.Module] | None:
    """What makes MBTFE's norms from a number of channels; None for its own."""
    if name == "batch":
        return None
    norm = plan.block_arguments["norm"]
    if name != "plan" or norm is None:
        found = "the plan has no norm" if name == "plan" else f"mbtfe_norm is {name!r}"
        raise PlanError(f'{found}: mbtfe_norm can be "batch", or "plan" with a plan that has a norm')
    return partial(norm, **(plan.block_arguments["norm_arguments"] or {}))

"""nnU-Net's PlainConvEncoder, extended with MBTFE, GHPA and EAB."""

from collections.abc import Collection

from torch import Tensor, nn

from nnunetv2_ext.architectures.blocks.convolution import ConvStack
from nnunetv2_ext.architectures.blocks.eab import EAB
from nnunetv2_ext.architectures.blocks.ghpa import GHPA
from nnunetv2_ext.architectures.blocks.mbtfe import MBTFE
from nnunetv2_ext.architectures.plan import Plan
from nnunetv2_ext.architectures.recompute.modes import Recompute
from nnunetv2_ext.errors import PlanError


class GHPALayer(nn.Sequential):
    """GHPA with the plan's norm and nonlinearity behind it, as EGE-UNet has its own behind each."""

    def __init__(self, channels: int, kernel: tuple[int, ...], plan: Plan, recompute: Recompute) -> None:
        arguments = plan.block_arguments
        super().__init__(GHPA(channels, channels, dimensions=plan.dimensions, kernel_size=kernel, recompute=recompute))
        if arguments["norm"] is not None:
            self.append(arguments["norm"](channels, **(arguments["norm_arguments"] or {})))
        if arguments["nonlinearity"] is not None:
            options = dict(arguments["nonlinearity_arguments"] or {})
            if arguments["norm"] is None and "inplace" in options:
                options["inplace"] = False  # GHPA may return a view, which autograd does not allow to overwrite
            self.append(arguments["nonlinearity"](**options))


class PlainConvEncoder(nn.Module):
    """The encoder of PlainConvUNet with blocks added to it.

    In each stage the plan's convolutions come first, then MBTFE and GHPA, where the stage has them; the output goes to the
    next stage and to the skip. EAB then refines the three finest skips, for the decoder alone.

    Args:
        plan: the plan.
        mbtfe_stages: the stages that have an MBTFE.
        ghpa_stages: the stages that have a GHPA.
        eab: whether the three finest skips go through an EAB.
        mbtfe_norm: class of the norm in MBTFE, BatchNorm by default.
        recompute: mode of activation recomputation, see ``nnunetv2_ext.architectures.recompute``.

    Shape:
        ``(N, input_channels, *spatial)`` to one feature map per stage, finest first.

    Raises:
        PlanError: if a stage doesn't exist, or EAB gets fewer than three.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        mbtfe_stages: Collection[int] = (),
        ghpa_stages: Collection[int] = (),
        eab: bool = False,
        mbtfe_norm: type[nn.Module] | None = None,
        recompute: Recompute = "none",
    ) -> None:
        super().__init__()
        for name, requested in (("mbtfe_stages", mbtfe_stages), ("ghpa_stages", ghpa_stages)):
            if unknown := sorted(set(requested) - set(range(plan.stages))):
                raise PlanError(f"{name} names stages {unknown}, the plan has 0 to {plan.stages - 1}")
        self.stages = nn.ModuleList()
        self.mbtfe = nn.ModuleDict()
        self.ghpa = nn.ModuleDict()
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
            if stage in mbtfe_stages:
                self.mbtfe[str(stage)] = MBTFE(
                    width, width, dimensions=plan.dimensions, kernel_size=kernel, norm=mbtfe_norm, recompute=recompute
                )
            if stage in ghpa_stages:
                self.ghpa[str(stage)] = GHPALayer(width, kernel, plan, recompute)
            channels = width
        self.eab: EAB | None = None
        if eab:
            self.eab = EAB(
                plan.features[:3],
                dimensions=plan.dimensions,
                strides=plan.strides[1:3],
                kernel_sizes=plan.kernel_sizes[:3],
                block_arguments=plan.block_arguments,
                recompute=recompute,
            )

    def forward(self, x: Tensor) -> list[Tensor]:
        skips = []
        for stage, convolutions in enumerate(self.stages):
            x = convolutions(x)
            for blocks in (self.mbtfe, self.ghpa):
                if str(stage) in blocks:
                    x = blocks[str(stage)](x)
            skips.append(x)
        if self.eab is not None:
            skips[:3] = self.eab(skips[:3])
        return skips

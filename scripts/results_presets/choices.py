"""EGE's open choices as presets, each EGE but for the one thing that its name says."""

from typing import Any

from torch import Tensor, nn

from nnunetv2_ext.architectures import EGE
from nnunetv2_ext.presets import Preset

EGE_FACTS = ("region_based",)


class EGEGHPAEverywhere(EGE):
    """EGE with GHPA on every stage, not in the deeper half alone."""

    def __init__(self, *, n_stages: int, **arguments: Any) -> None:
        super().__init__(n_stages=n_stages, ghpa_stages=range(n_stages), **arguments)


class EGENoMasks(EGE):
    """EGE whose GABs get zeros in place of the decoder's predictions."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        for bridge in self.decoder.bridges:
            bridge.register_forward_pre_hook(_without_mask)


def _without_mask(_bridge: nn.Module, inputs: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    deep, skip, mask = inputs
    return deep, skip, mask * 0


plan_norm = Preset(
    name="EGEPlanNorm",
    summary="EGE with the plan's norm in MBTFE",
    network="nnunetv2_ext.architectures.EGE",
    arguments={"mbtfe_norm": "plan"},
    plan_facts=EGE_FACTS,
)
everywhere = Preset(
    name="EGEGHPAEverywhere", summary="EGE with GHPA on every stage", network=EGEGHPAEverywhere, plan_facts=EGE_FACTS
)
no_masks = Preset(name="EGENoMasks", summary="EGE without masks in GAB", network=EGENoMasks, plan_facts=EGE_FACTS)


class BridgeWithSkip(nn.Module):
    """A GAB whose result is added to the skip."""

    def __init__(self, bridge: nn.Module) -> None:
        super().__init__()
        self.bridge = bridge

    def forward(self, deep: Tensor, skip: Tensor, mask: Tensor) -> Tensor:
        return skip + self.bridge(deep, skip, mask)


class EGEKeepSkips(EGE):
    """EGE whose GABs add to the skips instead of replacing them."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.decoder.bridges = nn.ModuleList(map(BridgeWithSkip, self.decoder.bridges))


keep_skips = Preset(name="EGEKeepSkips", summary="EGE whose GABs add to skips", network=EGEKeepSkips, plan_facts=EGE_FACTS)
gab_keep_skips = Preset(
    name="GABKeepSkips",
    summary="GAB alone, added to the skips",
    network=EGEKeepSkips,
    arguments={"mbtfe_stages": [], "ghpa_stages": [], "eab": False},
    plan_facts=EGE_FACTS,
)


class Residual(nn.Module):
    """A block with a shortcut around it."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class EGEResidual(EGE):
    """EGE with a shortcut around each MBTFE and GHPA."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        for blocks in (self.encoder.mbtfe, self.encoder.ghpa):
            for stage, block in blocks.items():
                blocks[stage] = Residual(block)


residual = Preset(name="EGEResidual", summary="EGE with shortcuts", network=EGEResidual, plan_facts=EGE_FACTS)
residual_no_eab = Preset(
    name="EGEResidualNoEAB",
    summary="EGE with shortcuts and without EAB",
    network=EGEResidual,
    arguments={"eab": False},
    plan_facts=EGE_FACTS,
)


class EGEShortcuts(EGEResidual):
    """EGE with a shortcut around each MBTFE and GHPA, whose GABs add to the skips."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.decoder.bridges = nn.ModuleList(map(BridgeWithSkip, self.decoder.bridges))


shortcuts = Preset(name="EGEShortcuts", summary="EGE with shortcuts everywhere", network=EGEShortcuts, plan_facts=EGE_FACTS)
shortcuts_no_eab = Preset(
    name="EGEShortcutsNoEAB",
    summary="EGE with shortcuts everywhere and without EAB",
    network=EGEShortcuts,
    arguments={"eab": False},
    plan_facts=EGE_FACTS,
)

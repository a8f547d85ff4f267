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
no_shortcuts = Preset(
    name="EGENoShortcuts",
    summary="EGE whose parts replace what they refine",
    network="nnunetv2_ext.architectures.EGE",
    arguments={"shortcuts": False},
    plan_facts=EGE_FACTS,
)

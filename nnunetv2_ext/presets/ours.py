"""Our own presets: every architecture with its recipe, one row each."""

from typing import Any

from nnunetv2_ext.presets.preset import Preset

EGE_NETWORK = "nnunetv2_ext.architectures.EGE"
EGE_PAPER = "EGE-UNet (arXiv 2307.08473) and the nnU-Net modification notes"
NOTES = "nnU-Net modification notes"
GHPA_PAPER = "EGE-UNet (arXiv 2307.08473)"


def _ege(name: str, summary: str, paper: str, **without: Any) -> Preset:
    return Preset(name, summary, paper, EGE_NETWORK, arguments=without, plan_facts=("region_based",))


_NO_MBTFE: dict[str, Any] = {"mbtfe_stages": []}
_NO_GHPA: dict[str, Any] = {"ghpa_stages": []}
_NO_EAB: dict[str, Any] = {"eab": False}
_NO_GAB: dict[str, Any] = {"gab": False}

_MIXINS = "nnunetv2_ext.trainers"


def _ege_unet(name: str, summary: str, **without: Any) -> Preset:
    return Preset(
        name,
        summary,
        GHPA_PAPER,
        "nnunetv2_ext.architectures.EGEUNet",
        arguments=without,
        plan_facts=("region_based",),
        optimizer=f"{_MIXINS}.optimizers.EGEUNetAdamWMixin",
        schedule=f"{_MIXINS}.schedules.OscillatingCosineMixin",
        loss=f"{_MIXINS}.ege_loss.EGELossMixin",
        # An epoch of the authors is 188 to 236 iterations (1500 to 1886 images, batch 8), near nnU-Net's 250, and they train
        # for 300: 56 to 71 thousand iterations. 250 epochs are 62 thousand, and end where the schedule is lowest.
        hyperparameters={"num_epochs": 250},
    )


def _attention(name: str, summary: str, paper: str, network: str, **more: Any) -> Preset:
    return Preset(
        name,
        summary,
        paper,
        f"nnunetv2_ext.architectures.{network}",
        optimizer="AdamW",
        schedule=f"{_MIXINS}.schedules.WarmUpMixin",
        **more,
    )


MCANET_PAPER = "MCANet (arXiv 2312.08866)"
MEDT_PAPER = "Medical Transformer (arXiv 2102.10662)"


def _medical_transformer(name: str, summary: str, network: str, *, gates: bool = False, **arguments: Any) -> Preset:
    mixins = (f"{_MIXINS}.gates.GatesMixin",) if gates else ()
    facts = ("patch_size",)
    return _attention(name, summary, MEDT_PAPER, network, arguments=arguments, plan_facts=facts, mixins=mixins)


OURS = (
    _ege("EGE", "the plan's U-Net with MBTFE, EAB, GHPA and GAB", EGE_PAPER),
    _ege("MBTFE", "the plan's U-Net with MBTFE on every stage", NOTES, **_NO_EAB, **_NO_GHPA, **_NO_GAB),
    _ege("EAB", "the plan's U-Net with EAB over the three finest skips", NOTES, **_NO_MBTFE, **_NO_GHPA, **_NO_GAB),
    _ege("MBTFEEAB", "the plan's U-Net with MBTFE and EAB", NOTES, **_NO_GHPA, **_NO_GAB),
    _ege("GHPA", "the plan's U-Net with GHPA in the deeper half", GHPA_PAPER, **_NO_MBTFE, **_NO_EAB, **_NO_GAB),
    _ege("GAB", "the plan's U-Net with GAB over the skips", GHPA_PAPER, **_NO_MBTFE, **_NO_EAB, **_NO_GHPA),
    _ege("EGENoMBTFE", "EGE without MBTFE", EGE_PAPER, **_NO_MBTFE),
    _ege("EGENoEAB", "EGE without EAB", EGE_PAPER, **_NO_EAB),
    _ege("EGENoGHPA", "EGE without GHPA", EGE_PAPER, **_NO_GHPA),
    _ege("EGENoGAB", "EGE without GAB", EGE_PAPER, **_NO_GAB),
    _ege_unet("EGEUNet", "EGE-UNet itself, the light network"),
    _ege_unet("EGEUNetNoMaps", "EGE-UNet with GHPA's Hadamard maps replaced by ones", maps=False),
    _ege_unet("EGEUNetNoMasks", "EGE-UNet with a mask of zeros in GAB", masks=False),
    _ege_unet("EGEUNetNoBridges", "EGE-UNet with plain skips instead of GAB", bridges=False),
    Preset(
        "NarrowUNet",
        "the plan's U-Net with a quarter of its features, for a CPU",
        network="nnunetv2_ext.architectures.NarrowUNet",
        optimizer="AdamW",
        hyperparameters={"initial_lr": 2e-3},
    ),
    _medical_transformer("AxialUNet", "axial attention with a relative position embedding along every axis", "AxialUNet"),
    _medical_transformer("GatedAxialUNet", "AxialUNet with gates on its position terms", "GatedAxialUNet", gates=True),
    _medical_transformer("LoGo", "AxialUNet as a shallow global and a deep local branch on patches", "LoGo"),
    _medical_transformer(
        "MedT", "Medical Transformer: gated global branch, local without position embedding", "MedT", gates=True
    ),
    _medical_transformer("AxialUNetNoPosition", "AxialUNet without position embedding", "AxialUNet", position="without"),
    _medical_transformer(
        "AxialUNetNoAttention", "AxialUNet with its attention replaced by the identity", "AxialUNet", attention=False
    ),
    _medical_transformer("MedTNoGates", "MedT with its gates off", "MedT", position="with"),
    _medical_transformer("MedTNoPosition", "MedT without position embedding", "MedT", position="without"),
    _medical_transformer("MedTNoLocal", "MedT without its local branch", "MedT", gates=True, local=False),
    _attention("MCANet", "the plan's encoder with the multi-scale cross-axis attention decoder", MCANET_PAPER, "MCANet"),
    _attention(
        "MCANetNoAttention",
        "MCANet with its attention replaced by the identity",
        MCANET_PAPER,
        "MCANet",
        arguments={"attention": False},
    ),
)

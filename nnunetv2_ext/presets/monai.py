"""MONAI's networks, one row each. They need ``pip install 'nnunetv2-ext[monai]'``; this table doesn't import them.

Where authors name a recipe, it is theirs: AdamW at 1e-4 with weight decay 1e-5 for SwinUNETR and UNETR (MONAI's tutorials), the
same for SegResNet (Adam, Myronenko 2018), 1e-3 for MedNeXt (its repository), 3e-4 for UNet++ (Zhou et al. 2018), SGD at 1e-4
for V-Net (Milletari et al. 2016). DynUNet is nnU-Net's own U-Net, so it has nnU-Net's recipe. Transformers warm up.
"""

from typing import Any

from nnunetv2_ext.presets.adapt import adapt
from nnunetv2_ext.presets.preset import Preset

CHANNELS = {"in_channels": "input_channels", "out_channels": "classes", "spatial_dims": "dimensions"}
WARM_UP = "nnunetv2_ext.trainers.schedules.WarmUpMixin"
LOW_RATE = {"initial_lr": 1e-4, "weight_decay": 1e-5}


def _monai(name: str, summary: str, paper: str, *, facts: dict[str, str] | None = None, **more: Any) -> Preset:
    network = f"monai.networks.nets.{name}"
    return adapt(name, network, summary=f"{summary} (MONAI)", paper=paper, facts={**CHANNELS, **(facts or {})}, **more)


MONAI = (
    _monai(
        "SwinUNETR",
        "shifted-window transformer with a convolutional decoder",
        "Swin UNETR (arXiv 2201.01266)",
        arguments={"feature_size": 48},
        multiple=32,
        optimizer="AdamW",
        schedule=WARM_UP,
        hyperparameters=LOW_RATE,
    ),
    _monai(
        "UNETR",
        "vision transformer with a convolutional decoder",
        "UNETR (arXiv 2103.10504)",
        facts={"img_size": "patch_size"},
        multiple=16,
        unused=["cross_attn"],  # that it is built with, and its norm
        optimizer="AdamW",
        schedule=WARM_UP,
        hyperparameters=LOW_RATE,
    ),
    _monai(
        "SegResNet",
        "residual encoder with a light decoder",
        "3D MRI brain tumor segmentation (arXiv 1810.11654)",
        arguments={"init_filters": 32, "dropout_prob": 0.2},
        multiple=8,
        optimizer="AdamW",
        hyperparameters=LOW_RATE,
    ),
    _monai(
        "AttentionUnet",
        "the plan's stages as a U-Net with attention gates",
        "Attention U-Net (arXiv 1804.03999)",
        facts={"channels": "features", "strides": "strides_below"},
        optimizer="AdamW",
    ),
    _monai(
        "DynUNet",
        "the plan's U-Net as MONAI builds it, with one head",
        "nnU-Net (arXiv 1904.08128)",
        facts={
            "filters": "features",
            "kernel_size": "kernel_sizes",
            "strides": "strides",
            "upsample_kernel_size": "strides_below",
        },
    ),
    _monai(
        "VNet",
        "residual U-Net for volumes",
        "V-Net (arXiv 1606.04797)",
        multiple=16,
        hyperparameters={"initial_lr": 1e-4},
    ),
    _monai(
        "BasicUNetPlusPlus",
        "U-Net with nested skips, deeply supervised",
        "UNet++ (arXiv 1807.10165)",
        arguments={"deep_supervision": True},
        multiple=16,
        deep_supervision=True,
        finest="last",
        optimizer="AdamW",
    ),
    _monai(
        "MedNeXt",
        "ConvNeXt blocks in a U-Net, size S, kernel 3, deeply supervised",
        "MedNeXt (arXiv 2303.09975)",
        arguments={"kernel_size": 3, "use_residual_connection": True, "deep_supervision": True},
        multiple=16,
        deep_supervision=True,
        optimizer="AdamW",
        hyperparameters={"initial_lr": 1e-3},
    ),
)

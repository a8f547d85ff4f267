"""Tiny plans in nnU-Net's format: isotropic 3D, anisotropic 3D and 2D."""

from typing import Any

import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_ext.architectures.blocks.shortcut import Shortcut
from nnunetv2_ext.architectures.plan import PlanArguments
from nnunetv2_ext.planning.stock import stock_architecture, stock_arguments
from nnunetv2_ext.presets import OURS, PRESETS
from nnunetv2_ext.trainers.networks import build_network

OUR_PRESETS = [row.name for row in OURS]
"""without those of MONAI, whose networks have hundreds of layers and tests of their own"""
NETWORKS = list({row.network: row.name for row in reversed(OURS)}.values())[::-1]
"""the presets that are a network and no ablation"""
every_preset = pytest.mark.parametrize(
    "preset", [name if name in NETWORKS else pytest.param(name, marks=pytest.mark.slow) for name in OUR_PRESETS]
)
"""Ablations run the code of their network without a part; the fast tests leave them out."""


def configuration(
    patch: list[int], strides: list[list[int]], kernels: list[list[int]], features: list[int], **changes: Any
) -> dict[str, Any]:
    dimensions = len(patch)
    return {
        "data_identifier": f"nnUNetPlans_{dimensions}d",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": patch,
        "median_image_size_in_voxels": patch,
        "spacing": [1.0] * dimensions,
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "batch_dice": False,
        "architecture": stock_architecture(features, strides=strides, kernel_sizes=kernels),
        **changes,
    }


CONFIGURATIONS = {
    "2d": configuration([32, 32], [[1, 1], [2, 2], [2, 2], [2, 2]], [[3, 3]] * 4, [8, 8, 16, 16]),
    "3d": configuration([16, 16, 16], [[1, 1, 1], [2, 2, 2], [2, 2, 2]], [[3, 3, 3]] * 3, [8, 16, 16]),
    "3d_anisotropic": configuration(
        [6, 32, 16],
        [[1, 1, 1], [1, 2, 2], [1, 2, 2], [2, 2, 1]],
        [[1, 3, 3], [1, 3, 3], [3, 3, 3], [3, 3, 3]],
        [8, 8, 16, 16],
    ),
}


def manager(name: str, **changes: Any) -> ConfigurationManager:
    return ConfigurationManager({**CONFIGURATIONS[name], **changes})


def network(
    preset: str,
    plan: str,
    *,
    channels: int = 1,
    classes: int = 3,
    deep_supervision: bool = True,
    seed: int = 0,
    **changes: Any,
):
    """A preset's network on one of the plans above, with the same weights at every call.

    The scales of shortcuts are zero before the training; here they are not, so that what they multiply can be seen.
    """
    torch.manual_seed(seed)
    built = build_network(PRESETS[preset], manager(plan, **changes), channels, classes, deep_supervision=deep_supervision)
    return with_open_shortcuts(built)


def with_open_shortcuts(network: torch.nn.Module) -> Any:
    """The network, with one as the scale of every shortcut."""
    for module in network.modules():
        if isinstance(module, Shortcut):
            torch.nn.init.ones_(module.scale)
    return network


def arguments(plan: str, *, channels: int = 1, classes: int = 3, deep_supervision: bool = True) -> PlanArguments:
    """The arguments of PlainConvUNet on one of the plans above, with classes in place of their names."""
    architecture = CONFIGURATIONS[plan]["architecture"]
    return stock_arguments(architecture, input_channels=channels, num_classes=classes, deep_supervision=deep_supervision)

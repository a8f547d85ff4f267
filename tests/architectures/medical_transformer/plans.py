"""Tiny plans for the networks of the Medical Transformer."""

from typing import Any

from torch import Tensor, nn, randn

from nnunetv2_ext.architectures import AxialUNet, GatedAxialUNet, LoGo, MedT
from nnunetv2_ext.architectures.plan import PlanArguments

NETWORKS = {"AxialUNet": AxialUNet, "GatedAxialUNet": GatedAxialUNet, "LoGo": LoGo, "MedT": MedT}
PLANS = {
    "2d": ([32, 24], [[1, 1], [2, 2], [2, 2], [2, 2]], 3),
    "3d": ([16, 16, 16], [[1, 1, 1], [2, 2, 2], [2, 2, 2]], 3),
    "anisotropic": (
        [6, 32, 16],
        [[1, 1, 1], [1, 2, 2], [1, 2, 2], [2, 2, 1]],
        [[1, 3, 3], [1, 3, 3], [3, 3, 3], [3, 3, 3]],
    ),
    "odd": ([20, 28, 20], [[1, 1, 1], [2, 2, 2], [2, 2, 2]], 3),  # 5x7x5 at the coarsest, local patches of 5x7x5
}


def arguments(plan: str, *, classes: int = 3, deep_supervision: bool = True) -> PlanArguments:
    _, strides, kernels = PLANS[plan]
    return plan_of(strides, kernels, classes=classes, deep_supervision=deep_supervision)


def plan_of(
    strides: Any, kernels: Any = 3, *, channels: int = 1, classes: int = 2, deep_supervision: bool = True
) -> PlanArguments:
    return {
        "input_channels": channels,
        "num_classes": classes,
        "n_stages": len(strides),
        "features_per_stage": 8,
        "conv_op": nn.Conv3d if len(strides[0]) == 3 else nn.Conv2d,
        "kernel_sizes": kernels,
        "strides": strides,
        "n_conv_per_stage": 2,
        "n_conv_per_stage_decoder": 2,
        "deep_supervision": deep_supervision,
    }


def network(name: str, plan: str, *, deep_supervision: bool = True, **keywords: Any) -> nn.Module:
    """A narrow network (2 heads, half the published width) on one of the plans above."""
    small = {"patch_size": PLANS[plan][0], "heads": 2, "width": 1 / 16, **keywords}
    return NETWORKS[name](**small, **arguments(plan, deep_supervision=deep_supervision))


def patch(plan: str) -> Tensor:
    return randn(2, 1, *PLANS[plan][0])

"""What is measured: networks by name, on a plan of nnU-Net's for isotropic volumes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import Tensor, nn

from nnunetv2_ext.architectures import EGE, EGEUNet
from nnunetv2_ext.architectures.recompute.modes import Recompute
from nnunetv2_ext.planning.stock import stock_architecture, stock_arguments

STOCK = "PlainConvUNet"
LIGHT = "EGEUNet"
MODES: tuple[Recompute, ...] = ("none", "selective", "full")
HIPPOCAMPUS = (40, 56, 40)
WIDE = (32, 64, 128, 256, 320, 320)
Build = Callable[[], nn.Module]


@dataclass(frozen=True)
class Size:
    """A plan and a batch."""

    features: tuple[int, ...]
    batch: int
    patch: tuple[int, ...]

    def batch_on(self, device: torch.device | str) -> Tensor:
        """Random images; on the ``meta`` device their shape alone."""
        return torch.randn(self.batch, 1, *self.patch, device=device)


FULL = {"cuda": Size(WIDE, 2, (128, 128, 128)), "cpu": Size(WIDE, 1, (64, 64, 64))}
TINY = Size((8, 16, 16, 16), 2, (16, 16, 16))
HIPPOCAMPUS_SIZE = Size(WIDE[:4], 2, HIPPOCAMPUS)


def plan(features: tuple[int, ...]) -> dict[str, Any]:
    """The arguments of PlainConvUNet as nnU-Net plans them."""
    stages = len(features)
    strides = [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1)
    architecture = stock_architecture(features, strides=strides, kernel_sizes=[[3, 3, 3]] * stages)
    return dict(stock_arguments(architecture, input_channels=1, num_classes=3))


def in_each_mode(size: Size) -> dict[str, Build]:
    """Stock networks, and EGE and its two heaviest blocks in each mode of recomputation."""
    arguments = plan(size.features)
    builders: dict[str, Build] = {
        STOCK: partial(PlainConvUNet, **arguments),
        "ResidualEncoderUNet M": partial(_residual, arguments),
    }
    for name, parts in (("MBTFE + EAB", {"ghpa_stages": [], "gab": False}), ("EGE", {})):
        builders |= {f"{name}, {mode}": partial(EGE, recompute=mode, **parts, **arguments) for mode in MODES}
    return builders


def light(size: Size) -> dict[str, Build]:
    """The stock network and the light one."""
    arguments = plan(size.features)
    return {STOCK: partial(PlainConvUNet, **arguments), LIGHT: partial(EGEUNet, **arguments)}


def _residual(arguments: dict[str, Any]) -> nn.Module:
    """nnU-Net's ResEncUNet with its blocks per stage, on the same plan."""
    stages = arguments["n_stages"]
    others = {name: value for name, value in arguments.items() if name != "n_conv_per_stage"}
    others["n_conv_per_stage_decoder"] = [1] * (stages - 1)
    return ResidualEncoderUNet(n_blocks_per_stage=[1, 3, 4, 6, 6, 6][:stages], **others)

"""EGE-UNet's modules (2D)."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nnunetv2_ext.architectures import EGEUNet
from nnunetv2_ext.architectures.blocks import GAB, GHPA
from nnunetv2_ext.architectures.operations import resize
from nnunetv2_ext.trainers.ege_loss import EGELossMixin
from tests.ports.port import Port, accept_any_shape, rename


def build_ghpa(dim_in: int, dim_out: int, x: int = 8, y: int = 8) -> nn.Module:
    return accept_any_shape(GHPA(dim_in, dim_out, dimensions=2, grid=(x, y)))


def build_gab(dim_xh: int, dim_xl: int, k_size: int = 3, d_list: Sequence[int] = (1, 2, 5, 7)) -> nn.Module:
    assert k_size == 3, "the published code works with this alone: k_size is in its padding, not in its kernel"
    return GAB(dim_xh, dim_xl, dimensions=2, dilations=d_list)


class PublishedEGEUNet(EGEUNet):
    """Gives what the published network gives: probabilities of full size, the masks from coarse to fine, then the output."""

    def forward(self, x: Tensor) -> list[Tensor]:
        size = x.shape[2:]
        return [torch.sigmoid(resize(logits, size)) for logits in self.decoder.predict(self.encoder(x), size)]


def build_ege_unet(
    num_classes: int = 1,
    input_channels: int = 3,
    c_list: Sequence[int] = (8, 16, 24, 32, 48, 64),
    bridge: bool = True,
    gt_ds: bool = True,
) -> nn.Module:
    assert bridge, "the published code runs with bridges alone"
    assert gt_ds, "the published code runs with masks alone"
    network = PublishedEGEUNet(
        channels=c_list,
        input_channels=input_channels,
        num_classes=num_classes,
        n_stages=len(c_list),
        features_per_stage=c_list,
        conv_op=nn.Conv2d,
        kernel_sizes=3,
        strides=[1, *[2] * (len(c_list) - 1)],
        n_conv_per_stage=1,
        n_conv_per_stage_decoder=1,
    )
    heads = network.decoder.seg_layers
    for index in range(len(heads) - 1):  # the published masks have one channel, whatever the number of classes
        heads[index] = nn.Conv2d(heads[index].in_channels, 1, 1)
    return accept_any_shape(network)


class LossTrainer(EGELossMixin):
    """As much of a trainer as its loss is built from: one region, and as many outputs as the published network has."""

    def __init__(self, *, has_regions: bool = True, ignore_label: int | None = None, outputs: int = 6) -> None:
        self.is_ddp, self.enable_deep_supervision, self.device = False, outputs > 1, torch.device("cpu")
        self.label_manager = SimpleNamespace(has_regions=has_regions, ignore_label=ignore_label)
        pools = [[1, 1], *[[2, 2]] * outputs]
        self.configuration_manager = SimpleNamespace(batch_dice=True, pool_op_kernel_sizes=pools)


class SumsInDouble(TorchFunctionMode):
    """Lets the host's loss, which works in float32 here and there, keep the precision of the published numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        func = torch.Tensor.double if func is torch.Tensor.float else func
        args = [torch.float64 if arg is torch.float32 else arg for arg in args]
        kwargs = {name: torch.float64 if arg is torch.float32 else arg for name, arg in (kwargs or {}).items()}
        return func(*args, **kwargs)


class PublishedLoss(nn.Module):
    """Takes what the published loss takes: probabilities, the masks from coarse to fine, all channels as one."""

    def __init__(self, wb: float = 1, wd: float = 1) -> None:
        super().__init__()
        self.loss = LossTrainer()._build_loss()
        self.loss.loss.weight_ce, self.loss.loss.weight_dice = wb, wd

    def forward(self, masks: Sequence[Tensor], output: Tensor, target: Tensor) -> Tensor:
        logits = [torch.logit(probabilities).flatten(1)[:, None] for probabilities in (output, *reversed(masks))]
        with SumsInDouble():
            loss = self.loss(logits, [target.flatten(1)[:, None]])
        # the host's Dice loss is that of the paper less one
        return loss + self.loss.loss.weight_dice * sum(self.loss.weight_factors)


# the published code calls the first map xy, the one along H zx, the one along W zy
GHPA_RULES = [
    *((rf"params_{name}", rf"maps.{index}.grid") for index, name in enumerate(("xy", "zx", "zy"))),
    *((rf"conv_{name}\.(.*)", rf"maps.{index}.refine.\1") for index, name in enumerate(("xy", "zx", "zy"))),
    (r"dw\.(.*)", r"convolutions.\1"),
    (r"norm1\.(.*)", r"norm.\1"),
    (r"norm2\.(.*)", r"output_norm.\1"),
    (r"ldw\.(.*)", r"output.\1"),
]
GAB_RULES = [
    (r"pre_project\.(.*)", r"project.\1"),
    (r"g(\d)\.(.*)", r"groups.\1.\2"),
    (r"tail_conv\.(.*)", r"output.\1"),
]


def ege_unet_key(official: str) -> str:
    """Published layers count from 1; decoder, masks and their norms count from the coarsest, as ours, GABs from the finest."""
    name, _, rest = official.partition(".")
    if name == "final":
        return f"decoder.seg_layers.5.{rest}"
    kind, index = name[:-1], int(name[-1]) - 1
    if kind in ("encoder", "decoder"):
        layer = rest.removeprefix("0.")
        is_ghpa = index >= 3 if kind == "encoder" else index < 3
        return f"{kind}.stages.{index}.0.{rename(GHPA_RULES)(layer) if is_ghpa else layer}"
    return {
        "ebn": f"encoder.stages.{index}.1.{rest}",
        "dbn": f"decoder.stages.{index}.1.{rest}",
        "gt_conv": f"decoder.seg_layers.{index}.{rest.removeprefix('0.')}",
        "GAB": f"decoder.bridges.{4 - index}.{rename(GAB_RULES)(rest) if kind == 'GAB' else rest}",
    }[kind]


PORTS = {
    "ege2d.EGEUNet": Port(build_ege_unet, ege_unet_key),
    "ege2d.GT_BceDiceLoss": Port(PublishedLoss, rename([])),
    "ege2d.GHPA": Port(build_ghpa, rename(GHPA_RULES)),
    "ege2d.GAB": Port(build_gab, rename(GAB_RULES)),
}

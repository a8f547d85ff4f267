"""MCANet's attention and head (2D)."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.mca_net.cross_axis_attention import CrossAxisAttention
from nnunetv2_ext.architectures.mca_net.decoder import MCADecoder
from nnunetv2_ext.architectures.operations import per_axis
from nnunetv2_ext.architectures.plan import Plan
from tests.ports.port import Port, rename


class BiasFreeLayerNorm(nn.Module):
    """The published layer norm without bias: it divides by the deviation from the mean, but leaves the mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x / (x.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt() * self.weight[:, None, None]


def build_attention(dim: int, num_heads: int, LayerNorm_type: str) -> nn.Module:  # noqa: N803
    attention = CrossAxisAttention(dim, dimensions=2, heads=num_heads)
    if LayerNorm_type == "BiasFree":
        attention.norm = BiasFreeLayerNorm(dim)
    return attention


class PublishedHead(MCADecoder):
    """Interpolates all maps to ``image_size``."""

    def __init__(self, plan: Plan, image_size: int | Sequence[int], in_index: Sequence[int], **arguments: Any) -> None:
        super().__init__(plan, attention_stage=0, **arguments)
        self.image_size, self.in_index = per_axis(image_size, 2), in_index

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        finest, *others = (maps[index] for index in self.in_index)
        return super().forward([self.interpolate(finest, self.image_size), *others])


def build_head(
    in_channels: Sequence[int],
    channels: int,
    image_size: int | Sequence[int],
    heads: int,
    num_classes: int,
    c1_channels: int = 48,  # noqa: ARG001  the published code doesn't use it
    in_index: Sequence[int] = (0, 1, 2, 3),
    dropout_ratio: float = 0.1,
    norm: str | None = None,
    align_corners: bool = False,
) -> nn.Module:
    assert channels == in_channels[0], "the published code works with this alone"
    norms = {None: None, "BN": nn.BatchNorm2d}
    plan = Plan.from_arguments(
        {
            "input_channels": 1,
            "num_classes": num_classes,
            "n_stages": len(in_channels),
            "features_per_stage": in_channels,
            "conv_op": nn.Conv2d,
            "kernel_sizes": 3,
            "strides": 2,
            "n_conv_per_stage": 1,
            "n_conv_per_stage_decoder": 1,
            "norm_op": norms[norm] if norm in norms else partial(nn.GroupNorm, int(norm.removeprefix("GN"))),
            "nonlin": nn.ReLU,
        }
    )
    head = PublishedHead(plan, image_size, in_index, heads=heads, dropout=dropout_ratio, align_corners=align_corners)
    head.seg_layers = head.seg_layers[-1:]  # the published head has the output alone
    return head


ATTENTION_RULES = [
    ("temperature", None),
    (r"norm1\.body\.(.*)", r"norm.\1"),
    (r"project_out\.(.*)", r"project.\1"),
    # published strips count by length, then along W first, then along H
    (r"conv(\d)_1\.(.*)", r"strips.1.convolutions.\1.\2"),
    (r"conv(\d)_2\.(.*)", r"strips.0.convolutions.\1.\2"),
]
BLOCKS = {"sep_bottleneck.0.depthwise_conv": 0, "sep_bottleneck.0.pointwise_conv": 1}
BLOCKS |= {"sep_bottleneck.1.depthwise_conv": 2, "sep_bottleneck.1.pointwise_conv": 3, "align": 4}


def head_key(official: str) -> str | None:
    if official.startswith("decoder_level."):
        inner = rename(ATTENTION_RULES)(official.removeprefix("decoder_level."))
        return inner and f"attention.{inner}"
    if official.startswith("conv_seg."):
        return "seg_layers.0." + official.removeprefix("conv_seg.")
    block, layer, tensor = official.rsplit(".", 2)
    ours = "squeeze.block" if block == "squeeze" else f"refine.{BLOCKS[block]}"
    return f"{ours}.{'conv' if layer == 'conv' else 'norm'}.{tensor}"


PORTS = {
    "mca2d.Attention": Port(build_attention, rename(ATTENTION_RULES)),
    "mca2d.MCAHead": Port(build_head, head_key),
}

"""Medical Transformer's modules and networks (2D)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_ext.architectures import AxialUNet, LoGo
from nnunetv2_ext.architectures.medical_transformer.axial_attention import AxialAttention
from nnunetv2_ext.architectures.medical_transformer.axial_block import AxialBlock
from tests.ports.port import Port, accept_any_shape, rename

POSITION = {"": "with", "_dynamic": "gated", "_wopos": "without"}
LAYERS = (1, 2, 4, 1)  # of the published factories
LOCAL_REGION = 128  # the published local branch looks at 4x4 patches of 32 from the corner, whatever the size


def attention(position: str) -> Callable[..., nn.Module]:
    def build(
        in_planes: int,
        out_planes: int,
        groups: int = 8,
        kernel_size: int = 56,
        stride: int = 1,
        width: bool = False,
        **_: Any,  # 'bias', which the published code doesn't use
    ) -> nn.Module:
        ours = AxialAttention(
            in_planes,
            out_planes,
            dimensions=2,
            axis=int(width),
            length=kernel_size,
            heads=groups,
            position=position,
            stride=stride,
        )
        if stride > 1:  # the published attention rounds down, against the shortcut of its block
            ours.pool = nn.AvgPool2d(stride, stride)
        return accept_any_shape(ours)

    return build


def block(position: str) -> Callable[..., nn.Module]:
    def build(
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: Any = None,
        groups: int = 1,
        base_width: int = 64,
        kernel_size: int = 56,
        **_: Any,  # 'dilation', which the published code doesn't use
    ) -> nn.Module:
        ours = AxialBlock(
            inplanes,
            2 * planes,
            dimensions=2,
            size=(kernel_size, kernel_size),
            width=int(planes * (base_width / 64.0)),
            heads=groups,
            position=position,
            stride=stride,
        )
        if downsample and not len(ours.shortcut):  # the published block has one wherever it is told to
            ours.shortcut = nn.Sequential(
                nn.Conv2d(inplanes, 2 * planes, 1, stride=stride, bias=False), nn.BatchNorm2d(2 * planes)
            )
        return accept_any_shape(ours)

    return build


class CornerLoGo(LoGo):
    """LoGo as published, whatever the size: the local branch sees the first 128x128, elsewhere the global one counts twice."""

    def forward(self, x: Tensor) -> Tensor:
        features = self.global_branch(x)[0]
        local = features.clone()
        local[..., :LOCAL_REGION, :LOCAL_REGION] = self.local_features(self.local_branch, x[..., :LOCAL_REGION, :LOCAL_REGION])[
            0
        ]
        return self.decoder([functional.relu(self.fuse(features + local))])


def network(kind: type[nn.Module], blocks: Sequence[str], **arguments: Any) -> nn.Module:
    def build(
        layers: Sequence[int],
        num_classes: int = 2,
        groups: int = 8,
        s: float = 0.125,
        img_size: int = 128,
        imgchan: int = 3,
        **block_names: str,
    ) -> nn.Module:
        positions = [POSITION[block_names[name].removeprefix("AxialBlock")] for name in blocks]
        plan = {
            "input_channels": imgchan,
            "num_classes": num_classes,
            "n_stages": 6,
            "features_per_stage": 8,
            "conv_op": nn.Conv2d,
            "kernel_sizes": 3,
            "strides": [1, 2, 2, 2, 2, 2],
            "n_conv_per_stage": 2,
            "n_conv_per_stage_decoder": 2,
        }
        keywords = dict(zip(("position", "local_position"), positions, strict=False))
        net = kind(patch_size=img_size, layers=layers, heads=groups, width=s, **keywords, **arguments, **plan)
        del net.decoder.seg_layers[1:]  # deep supervision is ours
        return accept_any_shape(net)

    return build


ATTENTION_RULES = [
    *(
        (rf"f_{short}", rf"gates.{name}")
        for short, name in (("qr", "query"), ("kr", "key"), ("sv", "value"), ("sve", "position"))
    ),
    (r"flatten_index", None),
    (r"relative", r"embedding"),
    (r"qkv_transform\.weight", r"project.weight"),
    (r"bn_qkv\.(.*)", r"project_norm.\1"),
    (r"bn_similarity\.(weight|running_var)", r"similarity_norm.\1"),
    (r"bn_similarity\.(bias|running_mean|num_batches_tracked)", None),  # dead in front of a softmax, or unused
    (r"bn_output\.(.*)", r"output_norm.\1"),
]
BLOCK_RULES = [
    *((rf"{side}_block\.{old}", new and rf"attentions.{axis}.{new}")
      for axis, side in enumerate(("hight", "width")) for old, new in ATTENTION_RULES),
    (r"conv_down\.(.*)", r"down.0.\1"),
    (r"bn1\.(.*)", r"down.1.\1"),
    (r"conv_up\.(.*)", r"up.0.\1"),
    (r"bn2\.(.*)", r"up.1.\1"),
    (r"downsample\.(.*)", r"shortcut.\1"),
    (r"conv1\..*", None),  # in AxialBlock_wopos, never called
]  # fmt: skip


def branch_key(official: str, *, coarsest: int) -> str | None:
    """The key within a branch; ``coarsest`` is the number of the decoder's convolution at the coarsest layer."""
    member, _, rest = official.partition(".")
    kind, number = member[:-1], int(member[-1])
    if kind == "layer":
        index, _, inner = rest.partition(".")
        ours = rename(BLOCK_RULES)(inner)
        return ours and f"layers.{number - 1}.{index}.{ours}"
    if kind == "decoder":
        return f"bottleneck.{rest}" if number == 1 else f"decoder.{number - coarsest}.{rest}"
    return f"stem.{3 * (number - 1) + (kind == 'bn')}.{rest}"


def axial_unet_key(official: str) -> str | None:
    if official.startswith("adjust."):
        return official.replace("adjust", "decoder.seg_layers.0")
    ours = branch_key(official, coarsest=2)
    return ours and f"branch.{ours}"


def logo_key(official: str) -> str | None:
    member, _, rest = official.partition(".")
    if member == "adjust_p":  # never called
        return None
    if member in ("adjust", "decoderf"):
        return {"adjust": "decoder.seg_layers.0", "decoderf": "fuse"}[member] + "." + rest
    if member.endswith("_p"):
        ours = branch_key(f"{member.removesuffix('_p')}.{rest}", coarsest=2)
        return ours and f"local_branch.{ours}"
    ours = branch_key(official, coarsest=4)
    return ours and f"global_branch.{ours}"


def build_logo(**config: Any) -> nn.Module:
    # the published code takes one patch after another
    build = network(CornerLoGo, ("block", "block_2"), local_grid=4, patches_together=False)
    return build(**config)


PORTS = {
    **{
        f"medt2d.AxialAttention{suffix}": Port(attention(position), rename(ATTENTION_RULES))
        for suffix, position in POSITION.items()
    },
    **{f"medt2d.AxialBlock{suffix}": Port(block(position), rename(BLOCK_RULES)) for suffix, position in POSITION.items()},
    "medt2d.ResAxialAttentionUNet": Port(network(AxialUNet, ("block",)), axial_unet_key),
    "medt2d.medt_net": Port(build_logo, logo_key),
    "medt2d.axialunet": Port(partial(network(AxialUNet, ("block",)), LAYERS, block="AxialBlock"), axial_unet_key),
    "medt2d.gated": Port(partial(network(AxialUNet, ("block",)), LAYERS, block="AxialBlock_dynamic"), axial_unet_key),
    "medt2d.logo": Port(partial(build_logo, layers=LAYERS, block="AxialBlock", block_2="AxialBlock"), logo_key),
    "medt2d.MedT": Port(partial(build_logo, layers=LAYERS, block="AxialBlock_dynamic", block_2="AxialBlock_wopos"), logo_key),
}

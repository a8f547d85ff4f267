"""MBTFE, EAB and the encoder of the nnU-Net modification notes (3D)."""

from collections.abc import Sequence

from torch import nn

from nnunetv2_ext.architectures.blocks import EAB, MBTFE, Gate, SpatialAttention
from nnunetv2_ext.architectures.plan import Plan
from nnunetv2_ext.architectures.unet.encoder import PlainConvEncoder
from nnunetv2_ext.architectures.unet.place import place
from tests.ports.port import Port, rename

BLOCK = {"norm": nn.InstanceNorm3d, "norm_arguments": {"eps": 1e-5, "affine": True}, "nonlinearity": nn.LeakyReLU}


def build_eab(features: Sequence[int], conv_bias: bool = True) -> nn.Module:
    return EAB(features, dimensions=3, block_arguments={"bias": conv_bias, **BLOCK})


def build_encoder(
    input_channels: int,
    n_stages: int,
    features_per_stage: Sequence[int],
    n_conv_per_stage: int | Sequence[int] = 2,
    conv_bias: bool = True,
    mbtfe: bool = True,
    eab: bool = True,
) -> nn.Module:
    plan = Plan.from_arguments(
        {
            "input_channels": input_channels,
            "num_classes": 2,
            "n_stages": n_stages,
            "features_per_stage": features_per_stage,
            "conv_op": nn.Conv3d,
            "kernel_sizes": 3,
            "strides": [1, *[2] * (n_stages - 1)],
            "n_conv_per_stage": n_conv_per_stage,
            "n_conv_per_stage_decoder": 2,
            "conv_bias": conv_bias,
            "norm_op": nn.InstanceNorm3d,
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "nonlin": nn.LeakyReLU,
        }
    )
    placed = place(MBTFE, plan, range(n_stages) if mbtfe else (), where="mbtfe_stages")
    return PlainConvEncoder(plan, blocks={"mbtfe": placed}, eab=eab)


CONV_BLOCK = r"(?:0\.)?convs\.0\.(conv|norm)\.(.*)"
MBTFE_RULES = [
    (r"(conv|bn|prelu)1\.(.*)", r"branches.0.0.\1.\2"),
    (r"(conv|bn|prelu)3\.(.*)", r"branches.1.0.\1.\2"),
    *((rf"(conv|bn|prelu)5_{i + 1}\.(.*)", rf"branches.2.{i}.\1.\2") for i in range(2)),
    *((rf"(conv|bn|prelu)7_{i + 1}\.(.*)", rf"branches.3.{i}.\1.\2") for i in range(3)),
    (r"fc1\.(.*)", r"squeeze.\1"),
    (r"fc2\.(.*)", r"excite.\1"),
]
SPATIAL_ATTENTION_RULES = [(r"_Spartial_Attention3d__layer\.0\.(.*)", r"conv.\1")]
GATE_RULES = [(r".*\.bias", None), (r"_w\.0\.(.*)", r"project.0.\1"), (r"psi\.0\.(.*)", r"score.0.\1")]


def mbtfe_key(official: str) -> str:
    key = rename(MBTFE_RULES)(official)
    return key.replace(".bn.", ".norm.").replace(".prelu.", ".activation.")


def eab_key(official: str) -> str | None:
    member, _, rest = official.partition(".")
    if member == "mattn":
        return "attention." + rename(SPATIAL_ATTENTION_RULES)(rest)
    if member.startswith("gate"):
        inner = rename(GATE_RULES)(rest)
        return inner and f"gates.{int(member[-1]) - 1}.{inner}"
    if ".all_modules." in rest:  # the host registers each convolution and norm twice
        return None
    if member.startswith("mdcat"):
        return f"down.{int(member[-1]) - 1}." + rename([(CONV_BLOCK, r"\1.\2")])(rest)
    return f"up.{int(member[-1]) - 1}." + rename([(CONV_BLOCK, r"\1.\2"), (r"(weight|bias)", r"\1")])(rest)


def encoder_key(official: str) -> str | None:
    if official.startswith("eab."):
        inner = eab_key(official.removeprefix("eab."))
        return inner and f"eab.{inner}"
    if official.startswith("mbtfe_modules."):
        _, stage, rest = official.split(".", 2)
        return f"mbtfe.{stage}.{mbtfe_key(rest)}"
    return rename([(r".*\.all_modules\..*", None), (r"stages\.(\d)\.0\.convs\.(\d)\.(.*)", r"stages.\1.\2.\3")])(official)


PORTS = {
    "seed3d.MBTFE": Port(
        lambda in_channels, out_channels: MBTFE(in_channels, out_channels, dimensions=3),
        mbtfe_key,
    ),
    "seed3d.Spartial_Attention3d": Port(
        lambda kernel_size=3: SpatialAttention(dimensions=3, kernel_size=kernel_size), rename(SPATIAL_ATTENTION_RULES)
    ),
    "seed3d.Gate": Port(lambda in_channels, out_channels: Gate(in_channels, out_channels, dimensions=3), rename(GATE_RULES)),
    "seed3d.EAB": Port(build_eab, eab_key),
    "seed3d.PlainConvEncoder": Port(build_encoder, encoder_key),
}

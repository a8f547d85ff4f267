"""EGE-UNet's modules (2D)."""

from torch import nn

from nnunetv2_ext.architectures.blocks import GAB, GHPA
from tests.ports.port import Port, accept_any_shape, rename


def build_ghpa(dim_in: int, dim_out: int, x: int = 8, y: int = 8) -> nn.Module:
    return accept_any_shape(GHPA(dim_in, dim_out, dimensions=2, grid=(x, y)))


def build_gab(dim_xh: int, dim_xl: int, k_size: int = 3, d_list: tuple = (1, 2, 5, 7)) -> nn.Module:
    assert (k_size, tuple(d_list)) == (3, (1, 2, 5, 7)), "the published code works with these alone"
    return GAB(dim_xh, dim_xl, dimensions=2)


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

PORTS = {
    "ege2d.GHPA": Port(build_ghpa, rename(GHPA_RULES)),
    "ege2d.GAB": Port(build_gab, rename(GAB_RULES)),
}

"""The ports take all arguments of the published modules; golden vectors check the numbers for some of them."""

import pytest
from torch import nn

from tests.parity import build, build_fast, build_frugal, key


def test_bridges_with_other_dilations() -> None:
    bridge = build("ege2d.GAB", {"dim_xh": 12, "dim_xl": 8, "d_list": [1, 2, 3, 4]})
    assert [convolution.dilation for _, convolution in bridge.groups] == [(1, 1), (2, 2), (3, 3), (4, 4)]


@pytest.mark.parametrize("bias", [True, False])
def test_convolutions_of_the_notes_with_and_without_bias(bias: bool) -> None:
    eab = build("seed3d.EAB", {"features": [4, 6, 8], "conv_bias": bias})
    encoder = build(
        "seed3d.PlainConvEncoder",
        {"input_channels": 1, "n_stages": 3, "features_per_stage": [4, 6, 8], "n_conv_per_stage": [1, 2, 3], "conv_bias": bias},
    )
    assert [len(stage) for stage in encoder.stages] == [1, 2, 3]
    for block in (*eab.down, eab.up[2], *encoder.eab.down, *encoder.stages[0]):
        assert (block.conv.bias is not None) == bias


@pytest.mark.parametrize("align_corners", [True, False])
def test_interpolation_of_the_head(align_corners: bool) -> None:
    arguments = {"in_channels": [8, 8, 8, 8], "channels": 8, "image_size": 8, "heads": 2, "num_classes": 2}
    head = build("mca2d.MCAHead", {**arguments, "align_corners": align_corners})
    assert head.interpolate.keywords == head.squeeze.interpolate.keywords == {"align_corners": align_corners}


@pytest.mark.parametrize(
    ("factory", "published", "dead"),
    [("axialunet", 1_326_850, 384), ("gated", 1_326_914, 384), ("logo", 1_529_532, 562), ("MedT", 1_560_140, 35_842)],
)
def test_factories_of_the_medical_transformer(factory: str, published: int, dead: int) -> None:
    network = build(f"medt2d.{factory}", {"img_size": 128, "imgchan": 3, "num_classes": 2, "groups": 8})
    assert sum(parameter.numel() for parameter in network.parameters()) == published - dead
    assert key(f"medt2d.{factory}", "adjust.weight") == "decoder.seg_layers.0.weight"
    other = build(f"medt2d.{factory}", {"img_size": 128, "imgchan": 1, "num_classes": 4, "groups": 4})
    assert other.decoder.seg_layers[0].out_channels == 4
    assert next(m for m in other.modules() if isinstance(m, nn.Conv2d)).in_channels == 1


def test_modes_of_recomputation() -> None:
    config = {"in_channels": 4, "out_channels": 4}
    assert build_fast("seed3d.MBTFE", config).recompute == "selective"
    assert build_frugal("seed3d.MBTFE", config).recompute == "full"
    assert build_fast("mca2d.MSCAN", {}) is None

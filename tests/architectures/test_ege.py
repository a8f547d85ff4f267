import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet

from nnunetv2_ext.architectures import EGE
from nnunetv2_ext.errors import InputSizeError, PlanError
from nnunetv2_ext.trainers.networks import plan_arguments
from tests.plans import CONFIGURATIONS, arguments, network

NOTHING = {"mbtfe_stages": [], "ghpa_stages": [], "eab": False, "gab": False}


def with_stages(stages: int) -> dict:
    values = dict(arguments("3d"))
    for name in ("features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage"):
        values[name] = values[name][:stages]
    return {**values, "n_stages": stages, "n_conv_per_stage_decoder": [2] * (stages - 1)}


@pytest.mark.parametrize("form", ["plain", "fast", "frugal"])
@pytest.mark.parametrize("plan", CONFIGURATIONS)
def test_without_its_components_it_is_the_host_s_network(plan, form):
    torch.manual_seed(0)
    stock, ours = PlainConvUNet(**arguments(plan)).double(), EGE(**NOTHING, form=form, **arguments(plan)).double()
    weights = stock.state_dict()

    def host_key(key: str) -> str:
        # the host wraps each stage of the encoder once more, and calls the list of blocks convs
        part, kind, stage, *rest = key.split(".")
        if kind != "stages":
            return key
        return ".".join([part, kind, stage, *(["0"] if part == "encoder" else []), "convs", *rest])

    ours.load_state_dict({key: weights[host_key(key)] for key in ours.state_dict()})
    x = torch.randn(2, 1, *CONFIGURATIONS[plan]["patch_size"], dtype=torch.float64)
    for output, expected in zip(ours(x), stock(x), strict=True):
        torch.testing.assert_close(output, expected)


def test_components_are_where_they_should_be():
    net = network("EGE", "2d")
    assert list(net.encoder.mbtfe) == ["0", "1", "2", "3"]
    assert list(net.encoder.ghpa) == ["2", "3"]
    assert net.encoder.eab is not None
    assert len(net.decoder.bridges) == 2  # of three skips, all but the coarsest


def test_eab_refines_skips_and_does_not_feed_the_next_stage():
    torch.manual_seed(0)
    net, x = network("EAB", "2d").eval(), torch.randn(1, 1, 32, 32)
    skips, unrefined = net.encoder(x), []
    for stage in net.encoder.stages:
        x = stage(x)
        unrefined.append(x)
    assert [torch.allclose(a, b) for a, b in zip(skips, unrefined, strict=True)] == [False, False, False, True]


def test_too_few_stages_are_refused_with_a_way_out():
    with pytest.raises(PlanError, match=r"EAB aggregates the three finest .* got 2: .* Use a preset without EAB"):
        EGE(**with_stages(2))
    with pytest.raises(PlanError, match=r"GAB bridges .* a plan of 2 stages has none: .* Use a preset without GAB"):
        EGE(eab=False, **with_stages(2))
    x = torch.randn(2, 1, 8, 8, 8)
    assert EGE(eab=False, gab=False, **{**with_stages(2), "deep_supervision": False})(x).shape == (2, 3, 8, 8, 8)


def test_stages_that_do_not_exist_are_refused():
    with pytest.raises(PlanError, match=r"mbtfe_stages names stages \[7\], the plan has 0 to 2"):
        EGE(mbtfe_stages=[7], **arguments("3d"))


def test_a_patch_too_small_to_train_is_refused():
    net = network("EGE", "3d")
    with pytest.raises(InputSizeError, match="coarsest map has one position"):
        net(torch.zeros(2, 1, 4, 4, 4))


def test_a_residual_encoder_plan_is_served():
    values = CONFIGURATIONS["2d"]["architecture"]["arch_kwargs"]
    residual = {**{k: v for k, v in values.items() if k != "n_conv_per_stage"}, "n_blocks_per_stage": [1, 3, 4, 6]}
    assert plan_arguments(residual) == {**values, "n_conv_per_stage": [2, 2, 2, 2]}


def test_what_a_plan_says_about_another_network_of_ours_is_left_out():
    values = CONFIGURATIONS["2d"]["architecture"]["arch_kwargs"]
    assert plan_arguments({**values, "mbtfe_stages": [0], "region_based": True}) == values

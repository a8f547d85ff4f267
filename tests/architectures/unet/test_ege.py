import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet

from nnunetv2_ext.architectures import EGE
from nnunetv2_ext.errors import InputSizeError, PlanError
from tests.plans import CONFIGURATIONS, arguments, network

NOTHING = {"mbtfe_stages": [], "ghpa_stages": [], "eab": False, "gab": False}


def with_stages(stages: int) -> dict:
    values = dict(arguments("3d"))
    for name in ("features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage"):
        values[name] = values[name][:stages]
    return {**values, "n_stages": stages, "n_conv_per_stage_decoder": [2] * (stages - 1)}


@pytest.mark.parametrize("components", [NOTHING, {}], ids=["without components", "before training"])
@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
@pytest.mark.parametrize("plan", CONFIGURATIONS)
def test_without_what_its_components_add_it_is_the_host_s_network(plan, recompute, components):
    torch.manual_seed(0)
    stock, ours = PlainConvUNet(**arguments(plan)).double(), EGE(**components, recompute=recompute, **arguments(plan)).double()
    weights = stock.state_dict()

    def host_key(key: str) -> str:
        # the host wraps each stage of the encoder once more, and calls the list of blocks convs
        part, kind, stage, *rest = key.split(".")
        if kind != "stages":
            return key
        return ".".join([part, kind, stage, *(["0"] if part == "encoder" else []), "convs", *rest])

    own = ours.state_dict()
    ours.load_state_dict({key: weights.get(host_key(key), own[key]) for key in own})
    x = torch.randn(2, 1, *CONFIGURATIONS[plan]["patch_size"], dtype=torch.float64)
    for output, expected in zip(ours(x), stock(x), strict=True):
        torch.testing.assert_close(output, expected)


def test_without_shortcuts_components_replace_what_they_refine():
    torch.manual_seed(0)
    net, x = EGE(shortcuts=False, **arguments("2d")).eval(), torch.randn(1, 1, 32, 32)
    assert not any(name.endswith("scale") for name, _ in net.named_parameters())
    skips = net.encoder(x)
    for stage, convolutions in enumerate(net.encoder.stages):
        x = net.encoder.mbtfe[str(stage)](convolutions(x))
        if str(stage) in net.encoder.ghpa:
            block, norm, activation = net.encoder.ghpa[str(stage)]
            x = activation(norm(block(x)))
    torch.testing.assert_close(skips[-1], x)


def test_components_are_where_they_should_be():
    net = network("EGE", "2d")
    assert list(net.encoder.mbtfe) == ["0", "1", "2", "3"]
    assert list(net.encoder.ghpa) == ["2", "3"]
    assert net.encoder.eab is not None
    assert len(net.decoder.bridges) == 2  # of three skips, all but the coarsest


def test_mbtfe_takes_the_plan_s_norm_with_its_arguments():
    net = EGE(mbtfe_norm="plan", **arguments("3d"))
    norms = [unit.norm for branch in net.encoder.mbtfe["0"].branches for unit in branch]
    assert all(isinstance(norm, torch.nn.InstanceNorm3d) and norm.affine for norm in norms)
    with pytest.raises(PlanError, match=r'the plan has no norm: mbtfe_norm can be "batch"'):
        EGE(mbtfe_norm="plan", **{**arguments("3d"), "norm_op": None})
    with pytest.raises(PlanError, match="mbtfe_norm is 'instance'"):
        EGE(mbtfe_norm="instance", **arguments("3d"))


def test_too_few_stages_are_refused_with_a_way_out():
    with pytest.raises(PlanError, match=r"EAB aggregates the three finest .* got 2: .* Use a preset without EAB"):
        EGE(**with_stages(2))
    with pytest.raises(PlanError, match=r"GAB bridges .* a plan of 2 stages has none: .* Use a preset without GAB"):
        EGE(eab=False, **with_stages(2))
    x = torch.randn(2, 1, 8, 8, 8)
    assert EGE(eab=False, gab=False, **{**with_stages(2), "deep_supervision": False})(x).shape == (2, 3, 8, 8, 8)


def test_a_patch_too_small_to_train_is_refused():
    net = network("EGE", "3d")
    with pytest.raises(InputSizeError, match="coarsest feature map has one position"):
        net(torch.zeros(2, 1, 4, 4, 4))

"""Networks that know nothing of nnU-Net, in the adapter."""

import pickle

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.adapter import Adapter
from nnunetv2_ext.errors import InputSizeError, PlanError, PresetError
from tests.architectures.network_contract import (
    assert_every_parameter_gets_a_gradient,
    assert_exports_and_compiles,
    assert_one_key_per_tensor,
    assert_pickles,
    plan_arguments,
)


class Strided(nn.Module):
    """Halves twice and says so if it can't; gives heads at full size, a half and a quarter, in the form that it is told."""

    def __init__(self, in_channels: int, out_channels: int, dimensions: int, form: str = "one", **received) -> None:
        super().__init__()
        convolution = (nn.Conv2d, nn.Conv3d)[dimensions - 2]
        self.stem = convolution(in_channels, 4, 3, padding=1)
        self.downs = nn.ModuleList(convolution(4, 4, 2, 2) for _ in range(2))
        self.outs = nn.ModuleList(convolution(4, out_channels, 1) for _ in range(1 if form == "one" else 3))
        self.form, self.received = form, received

    def forward(self, x: Tensor) -> Tensor | list[Tensor] | tuple[Tensor, ...] | dict[str, Tensor]:
        assert all(size % 4 == 0 for size in x.shape[2:]), x.shape
        maps = [self.stem(x)]
        for down in self.downs:
            maps.append(down(maps[-1]))
        up = nn.functional.interpolate(maps[-1], size=x.shape[2:])
        maps[0] = maps[0] + up
        heads = [out(one) for out, one in zip(self.outs, maps, strict=False)]
        if self.form == "one":
            return heads[0]
        if self.form == "in training" and not self.training:
            return heads[0]
        if self.form == "last":
            return heads[::-1]
        if self.form == "stacked":
            return torch.stack([nn.functional.interpolate(head, size=x.shape[2:]) for head in heads], 1)
        return {"out": heads[0]} if self.form == "dict" else tuple(heads)


FACTS = {"in_channels": "input_channels", "out_channels": "classes", "dimensions": "dimensions"}
FORMS = ["one", "list", "last", "stacked", "in training"]


def adapter(form: str = "list", dimensions: int = 2, deep_supervision: bool = True, patch=None, **changes) -> Adapter:
    torch.manual_seed(0)
    options = {
        "network": f"{__name__}.Strided",
        "network_arguments": {"form": form},
        "facts": FACTS,
        "multiple": 4,
        "finest": "last" if form == "last" else "first",
        "patch_size": patch or [8] * dimensions,
        **changes,
    }
    stages = options.pop("stages", 3)
    anisotropic = options.pop("anisotropic", False)
    plan = plan_arguments(dimensions, stages, anisotropic=anisotropic)
    return Adapter(**options, **{**plan, "deep_supervision": deep_supervision})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("dimensions", "anisotropic", "patch"), [(2, False, (8, 12)), (3, True, (6, 8, 12))])
def test_gives_the_heads_at_the_size_of_nnunet_s_targets(form, dimensions, anisotropic, patch):
    net = adapter(form, dimensions, patch=patch, anisotropic=anisotropic)
    outputs = net(torch.randn(2, 2, *patch))
    strides = plan_arguments(dimensions, 3, anisotropic=anisotropic)["strides"]
    sizes = [patch, tuple(p // s for p, s in zip(patch, strides[1], strict=True))][: 1 if form == "one" else 2]
    assert [tuple(output.shape) for output in outputs] == [(2, 3, *size) for size in sizes]
    net.decoder.deep_supervision = False
    torch.testing.assert_close(net(torch.randn(2, 2, *patch)).shape, torch.Size((2, 3, *patch)))


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_fulfils_the_contract(form):
    net, x = adapter(form, dimensions=3, patch=(8, 12, 8)), torch.randn(2, 2, 8, 12, 8)
    assert_every_parameter_gets_a_gradient(adapter(form, stages=4, patch=(8, 16)), torch.randn(2, 2, 8, 16))
    assert_one_key_per_tensor(net)
    net.decoder.deep_supervision = False
    assert_pickles(net, x)
    assert_exports_and_compiles(net, x)
    assert net.compute_conv_feature_map_size([8, 16, 16]) > net.compute_conv_feature_map_size([8, 8, 16]) > 0


def test_the_weights_fit_whatever_deep_supervision_is():
    trained, predicting = adapter("in training"), adapter("in training", deep_supervision=False)
    predicting.load_state_dict(trained.state_dict())
    x = torch.randn(1, 2, 8, 12)
    torch.testing.assert_close(predicting.eval()(x), trained.eval()(x)[0])


def test_pads_to_the_multiple_and_crops_back():
    net = adapter("one", deep_supervision=False, patch=(8, 12), multiple=8).eval()
    assert net.padded((8, 12)) == (8, 16)
    x = torch.randn(1, 2, 8, 12)
    expected = net.network(nn.functional.pad(x, (0, 4)))[..., :12]
    torch.testing.assert_close(net(x), expected)


def test_a_head_of_a_padded_input_lies_where_its_target_does():
    net = adapter("list", patch=(8, 12), multiple=8)
    x = torch.randn(1, 2, 8, 12)
    _, half = net(x)
    torch.testing.assert_close(half, net.network(nn.functional.pad(x, (0, 4)))[1][..., :6])


def test_a_padded_size_is_whole_on_every_stage_of_the_plan():
    assert adapter(multiple=3, patch=(8, 8)).padded((8, 8)) == (12, 12)


def test_builds_with_facts_of_the_plan():
    names = ("patch_size", "spacing", "stages", "features", "kernel_sizes", "strides", "strides_below")
    facts = {**FACTS, **{f"its_{name}": name for name in names}}
    assert adapter(facts=facts, patch=(8, 10), spacing=[2.0, 1.0]).network.received == {
        "its_patch_size": (8, 12),
        "its_spacing": (2.0, 1.0),
        "its_stages": 3,
        "its_features": (4, 8, 12),
        "its_kernel_sizes": ((3, 3),) * 3,
        "its_strides": ((1, 1), (2, 2), (2, 2)),
        "its_strides_below": ((2, 2), (2, 2)),
    }


def test_parameters_that_are_never_used_are_not_trained():
    net = adapter(unused=["stem.bias"])
    assert [name for name, parameter in net.named_parameters() if not parameter.requires_grad] == ["network.stem.bias"]


def test_leaves_the_initialisation_to_the_network():
    net = adapter()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.apply(net.initialize)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        (
            {"network": "monai.networks.nets.Nothing"},
            PresetError,
            r"no monai\.networks\.nets\.Nothing: .*ext\[monai\]",
        ),
        ({"network": "nowhere_at_all.Net"}, PresetError, r"no nowhere_at_all\.Net: .*pip install 'nowhere_at_all'"),
        ({"facts": {"in_channels": "colour"}}, PresetError, "a plan has no fact colour; it has input_channels, classes"),
        (
            {"facts": {"in_channels": "input_channels"}},
            PlanError,
            r"Strided can't be built .*: TypeError: .*adapter\.py",
        ),
    ],
)
def test_what_can_not_be_built_is_said(changes, error, sentence):
    with pytest.raises(error, match=sentence):
        adapter(**changes)


def test_what_is_no_list_of_tensors_is_said():
    with pytest.raises(PlanError, match="Strided gives dict, need a tensor or a list of tensors"):
        adapter("dict")(torch.randn(1, 2, 8, 12))


def test_a_patch_too_small_for_training_is_said():
    net = adapter("one", multiple=8, deep_supervision=False)
    with pytest.raises(InputSizeError, match=r"one position at its coarsest.* use a patch of more than 8 on one axis"):
        net(torch.randn(1, 2, 8, 8))
    assert net.eval()(torch.randn(1, 2, 8, 8)).shape == (1, 3, 8, 8)
    assert pickle.loads(pickle.dumps(net)).needed == (8, 8)

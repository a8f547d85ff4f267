"""A block in the plan's U-Net."""

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import Tensor, nn

from nnunetv2_ext.architectures.unet import BlockUNet
from nnunetv2_ext.errors import PlanError, PresetError
from nnunetv2_ext.trainers.pretrained import stock_name
from tests.architectures.network_contract import (
    assert_every_parameter_gets_a_gradient,
    assert_exports_and_compiles,
    assert_host_outputs,
    assert_one_key_per_tensor,
    assert_pickles,
)
from tests.plans import CONFIGURATIONS, arguments

EVERYWHERE = {"encoder": "all", "skips": "all", "bottleneck": True, "decoder": "all"}


class Squeeze(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int, reduction: int = 2) -> None:
        super().__init__()
        self.weights = nn.Sequential(
            nn.Linear(channels, channels // reduction), nn.GELU(), nn.Linear(channels // reduction, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.sigmoid(self.weights(x.flatten(2).mean(2)))
        return x * weights.reshape(*weights.shape, *[1] * (x.dim() - 2))


class Remember(nn.Module):
    """Keeps what it was built with."""

    def __init__(
        self, in_channels: int, out_channels: int, spatial_dims: int, kernel_size: tuple[int, ...], more: str = ""
    ) -> None:
        super().__init__()
        self.built_with = (in_channels, out_channels, spatial_dims, tuple(kernel_size), more)

    def forward(self, x: Tensor) -> Tensor:
        return x


class Halve(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[..., ::2]


def net(plan: str = "2d", block: str = f"{__name__}.Squeeze", **options) -> BlockUNet:
    torch.manual_seed(0)
    return BlockUNet(block=block, **options, **arguments(plan))


def patch(plan: str) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(2, 1, *CONFIGURATIONS[plan]["patch_size"])


@pytest.mark.parametrize("plan", CONFIGURATIONS)
def test_fulfils_the_contract_with_a_block_of_the_user_s_everywhere(plan):
    network, x = net(plan, **EVERYWHERE), patch(plan)
    assert_host_outputs(network, x, arguments(plan)["strides"], 3)
    assert_every_parameter_gets_a_gradient(network, x)
    assert_one_key_per_tensor(network)
    network.decoder.deep_supervision = False
    assert_pickles(network, x)


@pytest.mark.slow
def test_exports_and_compiles():
    assert_exports_and_compiles(net(**EVERYWHERE), patch("2d"))


@pytest.mark.parametrize("recompute", ["none", "full"])
@pytest.mark.parametrize("block", ["MBTFE", "GHPA"])
def test_takes_our_blocks_with_their_recomputation(block, recompute):
    network = net(block=f"nnunetv2_ext.architectures.blocks.{block}", encoder=[1, 2], recompute=recompute)
    assert {module.recompute for module in network.encoder.blocks.values()} == {recompute}
    assert_every_parameter_gets_a_gradient(network, patch("2d"))


@pytest.mark.parametrize("plan", CONFIGURATIONS)
def test_without_a_place_it_is_the_plan_s_u_net(plan):
    stock, network = PlainConvUNet(**arguments(plan)), net(plan)
    weights = stock.state_dict()
    network.load_state_dict({name: weights[stock_name(name)] for name in network.state_dict()})
    for output, expected in zip(network(patch(plan)), stock(patch(plan)), strict=True):
        torch.testing.assert_close(output, expected)


@pytest.mark.parametrize(
    ("options", "places"),
    [
        ({"encoder": "all"}, ["encoder.blocks.0", "encoder.blocks.1", "encoder.blocks.2"]),
        ({"encoder": [0], "bottleneck": True}, ["encoder.blocks.0", "encoder.blocks.3"]),
        ({"encoder": [-1]}, ["encoder.blocks.3"]),
        ({"skips": [0, 2]}, ["encoder.skip_blocks.0", "encoder.skip_blocks.2"]),
        ({"decoder": [-1]}, ["decoder.blocks.2"]),
        ({"decoder": "all"}, ["decoder.blocks.0", "decoder.blocks.1", "decoder.blocks.2"]),
    ],
)
def test_is_where_it_was_asked_for(options, places):
    network = net(**options)
    assert [name.removesuffix(".block") for name, module in network.named_modules() if isinstance(module, Squeeze)] == places


def test_a_block_on_a_skip_does_not_feed_the_next_stage():
    network, plain = net(skips=[0]).eval(), net().eval()
    plain.load_state_dict({name: value for name, value in network.state_dict().items() if ".skip_blocks." not in name})
    refined, expected = network.encoder(patch("2d")), plain.encoder(patch("2d"))
    assert [torch.equal(a, b) for a, b in zip(refined, expected, strict=True)] == [False, True, True, True]


def test_a_block_is_built_with_what_its_constructor_takes():
    network = net("3d_anisotropic", f"{__name__}.Remember", encoder=[0, -1], block_arguments={"more": "of mine"})
    built = [module.built_with for module in network.modules() if isinstance(module, Remember)]
    assert built == [(8, 8, 3, (1, 3, 3), "of mine"), (16, 16, 3, (3, 3, 3), "of mine")]


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"encoder": [7]}, PlanError, r"encoder names stages \[7\], the plan has 0 to 3"),
        ({"decoder": [3]}, PlanError, r"decoder names stages \[3\], the plan has 0 to 2"),
        ({"block": "nowhere.Block", "encoder": [0]}, PresetError, r"there is no nowhere\.Block"),
        (
            {"block_arguments": {"reduction": 0}, "encoder": [0]},
            PlanError,
            "Squeeze can't be built .*: ZeroDivisionError",
        ),
        ({"block_arguments": {"colour": 0}, "encoder": [0]}, PlanError, "unexpected keyword.*It was given channels, colour"),
    ],
)
def test_what_can_not_be_built_is_said(options, error, sentence):
    with pytest.raises(error, match=sentence):
        net(**options)


def test_a_block_that_changes_the_shape_is_said():
    with pytest.raises(PlanError, match=r"Halve makes \(2, 8, 32, 16\) of \(2, 8, 32, 32\); a block has to keep the shape"):
        net(block=f"{__name__}.Halve", encoder=[0])(patch("2d"))

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from nnunetv2_ext.architectures import MCANet
from nnunetv2_ext.architectures.blocks import ConvBlock
from nnunetv2_ext.architectures.mca_net.decoder import Squeeze
from nnunetv2_ext.errors import InputSizeError, PlanError
from nnunetv2_ext.memory.step import step_memory
from tests.architectures.network_contract import (
    assert_every_parameter_gets_a_gradient,
    assert_finite_under_autocast,
    assert_host_outputs,
    assert_one_key_per_tensor,
    assert_pickles,
    plan_arguments,
)

SIZES = {2: (16, 24), 3: (8, 16, 12)}
SWITCHES: list[dict[str, Any]] = [{}, {"attention": False}, {"attention_stage": 0}]


def patch(dimensions: int, size: tuple[int, ...] | None = None) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(2, 2, *(size or SIZES[dimensions]))


def network_of(dimensions: int, stages: int = 3, **changes: Any) -> MCANet:
    torch.manual_seed(0)
    own = {name: changes.pop(name) for name in ("attention", "attention_stage", "dropout", "heads") if name in changes}
    # what a norm takes away has no gradient worth the name
    return MCANet(**{"heads": 4, **own}, **plan_arguments(dimensions, stages, conv_bias=False, **changes))


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("stages", [2, 3, 5])
def test_outputs_are_the_hosts(dimensions: int, stages: int) -> None:
    network = network_of(dimensions, stages, deep_supervision=True)
    assert_host_outputs(network, patch(dimensions, (16, 32, 16)[:dimensions]), network.plan.strides, 3)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_anisotropic_plans(dimensions: int) -> None:
    network = network_of(dimensions, 4, anisotropic=True)
    assert_host_outputs(network, patch(dimensions, (8, 16, 16)[:dimensions]), network.plan.strides, 3)
    assert len(network.decoder.attention.strips[0].convolutions) == 1
    assert network.decoder.refine[0].conv.kernel_size[0] == 1


def test_squeezing_each_map_by_itself_is_squeezing_their_concatenation() -> None:
    torch.manual_seed(0)
    arguments = {"bias": True, "norm": nn.InstanceNorm3d, "nonlinearity": nn.ReLU}
    squeeze, block = Squeeze(nn.Conv3d, 9, 4, arguments), ConvBlock(nn.Conv3d, 9, 4, kernel_size=1, **arguments)
    block.load_state_dict(squeeze.block.state_dict())
    maps = [torch.randn(2, channels, *size) for channels, size in ((4, (4, 6, 5)), (3, (2, 3, 3)), (2, (1, 2, 2)))]
    resized = [functional.interpolate(x, size=(4, 6, 5), mode="trilinear", align_corners=False) for x in maps]
    torch.testing.assert_close(squeeze(maps, (4, 6, 5)), block(torch.cat(resized, 1)))


def test_the_decoder_in_the_papers_words() -> None:
    decoder = network_of(3, 3).decoder.eval()
    first, *others = torch.randn(2, 4, 8, 16, 12), torch.randn(2, 8, 4, 8, 6), torch.randn(2, 12, 2, 4, 3)

    def interpolate(x: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
        return functional.interpolate(x, size=size, mode="trilinear", align_corners=False)

    squeezed = decoder.squeeze.block(torch.cat([interpolate(x, (4, 8, 6)) for x in others], 1))
    attended = decoder.attention(squeezed)
    x = torch.cat((interpolate(attended, (8, 16, 12)), first), 1)
    for separable in (decoder.refine[:2], decoder.refine[2:4]):
        depthwise, pointwise = separable
        assert (depthwise.conv.groups, depthwise.conv.kernel_size) == (12, (3, 3, 3))
        assert (pointwise.conv.groups, pointwise.conv.kernel_size) == (1, (1, 1, 1))
        x = pointwise(depthwise(x))
    coarser, finest = decoder.seg_layers
    decoder.deep_supervision = True
    for ours, expected in zip(decoder([first, *others]), (finest(decoder.refine[4](x)), coarser(attended)), strict=True):
        torch.testing.assert_close(ours, expected)


def test_every_stage_reaches_the_output() -> None:
    network = network_of(3, 4).eval()
    maps = [x.detach().requires_grad_() for x in network.encoder(patch(3, (16, 16, 16)))]
    assert all(gradient.any() for gradient in torch.autograd.grad(network.decoder(maps).square().sum(), maps))


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_the_attention_works_at_the_stage_asked_for(stage: int) -> None:
    network, sizes = network_of(2, 3, attention_stage=stage), []
    network.decoder.attention.register_forward_hook(lambda *arguments: sizes.append(tuple(arguments[-1].shape[2:])))
    network(patch(2))
    assert sizes == [(16 >> stage, 24 >> stage)]


def test_without_attention_the_squeezed_map_passes_as_it_is() -> None:
    with_attention, without = network_of(2).eval(), network_of(2, attention=False).eval()
    state = {name: tensor for name, tensor in with_attention.state_dict().items() if ".attention." not in name}
    without.load_state_dict(state)
    assert not torch.allclose(with_attention(patch(2)), without(patch(2)))
    with_attention.decoder.attention.forward = lambda x: x
    torch.testing.assert_close(with_attention(patch(2)), without(patch(2)))


def test_channels_are_dropped_in_training_alone() -> None:
    network, x = network_of(2, dropout=0.5), patch(2)
    assert not (network(x) == network(x)).all()
    network.eval()
    assert (network(x) == network(x)).all()


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_every_parameter_gets_a_gradient(dimensions: int, switches: dict[str, Any]) -> None:
    assert_every_parameter_gets_a_gradient(network_of(dimensions, **switches), patch(dimensions, (32, 32, 24)[:dimensions]))


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_one_key_per_tensor_and_pickle(switches: dict[str, Any]) -> None:
    network = network_of(2, **switches)
    assert_one_key_per_tensor(network)
    assert_pickles(network, patch(2))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_finite_under_autocast(dimensions: int) -> None:
    assert_finite_under_autocast(network_of(dimensions), patch(dimensions))


def test_gradients_are_right() -> None:
    changes = {"input_channels": 1, "num_classes": 2, "features_per_stage": [2, 4], "nonlin": nn.ELU, "nonlin_kwargs": None}
    network = network_of(2, 2, **changes).double().eval()
    assert torch.autograd.gradcheck(network, torch.randn(1, 1, 4, 4, dtype=torch.float64, requires_grad=True))


@pytest.mark.slow
def test_a_step_at_128_cubed_fits_24_gigabytes() -> None:
    changes = {"n_conv_per_stage": 2, "features_per_stage": [32, 64, 128, 256, 320, 320], "deep_supervision": True}
    for stage in (0, 1):
        with torch.device("meta"):
            network = network_of(3, 6, heads=8, attention_stage=stage, **changes)
            memory = step_memory(network, torch.zeros(2, 2, 128, 128, 128))
        assert memory.peak < 24e9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 3}, "8 channels for 3 heads"),
        ({"attention_stage": 3}, "attention_stage is 3, the plan has stages 0 to 2"),
        ({"stages": 1}, "needs at least two"),
    ],
)
def test_a_plan_it_cannot_be_built_from(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        network_of(3, **changes)


def test_an_input_that_does_not_fit() -> None:
    with pytest.raises(InputSizeError, match=r"divisible by \(4, 4\).*patch of \(16, 28\)"):
        network_of(2)(patch(2, (16, 25)))
    with pytest.raises(InputSizeError, match="one position"):
        network_of(2)(patch(2, (4, 4)))


@pytest.mark.parametrize(("width", "heads"), [(8, 8), (12, 6), (7, 7), (16, 8), (22, 2)])
def test_heads_are_as_many_as_the_width_allows(width: int, heads: int) -> None:
    network = MCANet(**plan_arguments(2, 3, features_per_stage=[4, width, 4]))
    assert network.decoder.attention.heads == heads

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from nnunetv2_ext.architectures import EGEUNet
from nnunetv2_ext.architectures.blocks import GHPA
from nnunetv2_ext.architectures.ege_unet import light_channels
from nnunetv2_ext.errors import InputSizeError, PlanError
from tests.architectures.network_contract import (
    assert_every_parameter_gets_a_gradient,
    assert_finite_under_autocast,
    assert_host_outputs,
    assert_one_key_per_tensor,
    assert_pickles,
    plan_arguments,
)

SIZES = {2: (16, 24), 3: (8, 16, 12)}
SWITCHES: list[dict[str, Any]] = [{}, {"maps": False}, {"bridges": False}, {"masks": False}, {"bridges": False, "masks": False}]


def patch(dimensions: int, size: tuple[int, ...] | None = None) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(2, 2, *(size or SIZES[dimensions]))


def published_plan() -> dict[str, Any]:
    return plan_arguments(2, 6, input_channels=3, num_classes=1, features_per_stage=32)


def test_has_the_published_number_of_parameters() -> None:
    assert sum(parameter.numel() for parameter in EGEUNet(**published_plan()).parameters()) == 53_374


def test_widths_follow_the_published_ones_and_go_on_beyond_them() -> None:
    assert light_channels(4) == (8, 16, 24, 32)
    assert light_channels(6) == (8, 16, 24, 32, 48, 64)
    assert light_channels(8) == (8, 16, 24, 32, 48, 64, 80, 96)


@pytest.mark.parametrize(("stages", "ghpa"), [(2, [1]), (3, [1, 2]), (4, [2, 3]), (6, [3, 4, 5])])
def test_the_deeper_half_has_ghpa(stages: int, ghpa: list[int]) -> None:
    network = EGEUNet(**plan_arguments(3, stages))
    found = [stage for stage, layers in enumerate(network.encoder.stages) if isinstance(layers[0], GHPA)]
    mirrored = [stages - 1 - index for index, layers in enumerate(network.decoder.stages) if isinstance(layers[0], GHPA)]
    assert found == ghpa == sorted(mirrored)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("stages", [2, 4])
def test_outputs_are_the_hosts(dimensions: int, stages: int) -> None:
    arguments = plan_arguments(dimensions, stages, deep_supervision=True)
    x = patch(dimensions, (8, 16, 24)[:dimensions])
    assert_host_outputs(EGEUNet(**arguments), x, arguments["strides"], arguments["num_classes"])


@pytest.mark.parametrize("dimensions", [2, 3])
def test_anisotropic_plans(dimensions: int) -> None:
    arguments = plan_arguments(dimensions, 4, anisotropic=True)
    network = EGEUNet(**arguments)
    assert_host_outputs(network, patch(dimensions, (4, 16, 8)[:dimensions]), arguments["strides"], 3)
    kernels = {layers[0].kernel_size[0] for layers in network.encoder.stages[:2]}
    assert kernels == {1}


def test_a_kernel_of_one_keeps_the_slices_apart() -> None:
    """With kernels and strides of one along an axis, and maps without that axis, a slice's output is its own."""
    plan = plan_arguments(3, 3, kernel_sizes=[[1, 3, 3]] * 3, strides=[[1, 1, 1], [1, 2, 2], [1, 2, 2]])
    network = EGEUNet(maps=False, **plan).eval()
    for module in network.modules():  # group norm is the one thing that looks at all slices
        if isinstance(module, nn.GroupNorm):
            module.forward = lambda x: x
    x = patch(3, (5, 8, 8))
    changed = x.clone()
    changed[:, :, 2] += 1
    moved = (network(x) - network(changed)).abs().amax((0, 1, 3, 4))
    assert moved[2] > 1e-3
    assert moved[[0, 1, 3, 4]].max() == 0


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_every_parameter_gets_a_gradient(dimensions: int, switches: dict[str, bool]) -> None:
    torch.manual_seed(0)
    assert_every_parameter_gets_a_gradient(EGEUNet(**switches, **plan_arguments(dimensions)), patch(dimensions))


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_one_key_per_tensor_and_pickle(switches: dict[str, bool]) -> None:
    network = EGEUNet(**switches, **plan_arguments(2))
    assert_one_key_per_tensor(network)
    assert_pickles(network, patch(2))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_finite_under_autocast(dimensions: int) -> None:
    assert_finite_under_autocast(EGEUNet(**plan_arguments(dimensions)), patch(dimensions))


def test_the_forward_in_the_papers_words() -> None:
    torch.manual_seed(0)
    network = EGEUNet(**plan_arguments(3, 3, deep_supervision=True))
    (conv1, norm1, *_), (ghpa2, norm2, *_), (ghpa3, *_) = network.encoder.stages
    decoder1, decoder2 = network.decoder.stages
    head2, head1, final = network.decoder.seg_layers
    bridge2, bridge1 = network.decoder.bridges

    def pool(norm: nn.GroupNorm, x: torch.Tensor) -> torch.Tensor:
        return functional.gelu(functional.max_pool3d(functional.group_norm(x, 4, norm.weight, norm.bias), 2))

    def double(x: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(x, scale_factor=2, mode="trilinear", align_corners=True)

    def evidence(logits: torch.Tensor) -> torch.Tensor:
        return logits[:, 1:].exp().sum(1, keepdim=True).log() - logits[:, :1]

    skip1 = pool(norm1, conv1(patch(3)))
    skip2 = pool(norm2, ghpa2(skip1))
    deepest = functional.gelu(ghpa3(skip2))
    out2 = functional.gelu(decoder1(deepest))
    skip2 = bridge2(deepest, skip2, evidence(head2(out2)))
    out1 = functional.gelu(double(decoder2(out2 + skip2)))
    skip1 = bridge1(skip2, skip1, evidence(head1(out1)))
    for ours, expected in zip(network(patch(3)), (double(final(out1 + skip1)), head1(out1)), strict=True):
        torch.testing.assert_close(ours, expected)


def test_without_masks_the_predictions_of_the_deeper_stages_change_nothing() -> None:
    torch.manual_seed(0)
    for masks in (True, False):
        network = EGEUNet(masks=masks, **plan_arguments(2, 4)).eval()
        before = network(patch(2))
        with torch.no_grad():
            network.decoder.seg_layers[1].weight.add_(torch.randn_like(network.decoder.seg_layers[1].weight))
        assert torch.equal(before, network(patch(2))) != masks


def test_the_mask_is_the_evidence_for_foreground_of_one_stage() -> None:
    """The order of the classes matters only through background or foreground, or not at all for regions."""
    torch.manual_seed(0)
    for region_based, order, same in ((False, [0, 2, 1], True), (False, [1, 0, 2], False), (True, [1, 0, 2], True)):
        network = EGEUNet(region_based=region_based, **plan_arguments(2, 3)).eval()
        before = network(patch(2))
        with torch.no_grad():
            for head in network.decoder.seg_layers[:-1]:
                head.weight.copy_(head.weight[order])
                head.bias.copy_(head.bias[order])
        assert torch.allclose(before, network(patch(2)), atol=1e-5) == same


def test_without_maps_a_ghpa_is_as_if_its_maps_were_one() -> None:
    torch.manual_seed(0)
    with_maps, without = GHPA(10, 6, dimensions=3), GHPA(10, 6, dimensions=3, maps=False)
    without.load_state_dict({k: v for k, v in with_maps.state_dict().items() if not k.startswith("maps.")})
    for hadamard_map in with_maps.maps:
        nn.init.zeros_(hadamard_map.refine[-1].weight)
        nn.init.ones_(hadamard_map.refine[-1].bias)
    x = torch.randn(2, 10, 3, 4, 5)
    torch.testing.assert_close(with_maps(x), without(x))


def test_without_bridges_a_skip_is_added_as_it_is() -> None:
    torch.manual_seed(0)
    network = EGEUNet(bridges=False, **plan_arguments(2, 2)).eval()
    finer, deepest = network.encoder(patch(2))
    x = functional.gelu(network.decoder.stages[0](deepest)) + finer
    expected = functional.interpolate(network.decoder.seg_layers[-1](x), size=(16, 24), mode="bilinear", align_corners=True)
    torch.testing.assert_close(network(patch(2)), expected)


def test_the_published_initialisation() -> None:
    torch.manual_seed(0)
    network = EGEUNet(**published_plan()).apply(EGEUNet.initialize)
    last = network.encoder.stages[-1][0]
    assert last.output[2].weight.detach().std() == pytest.approx((2 / 64) ** 0.5, rel=0.1)
    assert last.output[0].weight.detach().std() == pytest.approx((2 / 9) ** 0.5, rel=0.1)
    assert not last.output[0].bias.any()
    assert last.maps[1].refine[0].bias.all()
    assert (last.maps[1].grid == 1).all()


def test_gradients_are_right() -> None:
    torch.manual_seed(0)
    network = EGEUNet(channels=[4, 8], **plan_arguments(2, 2, input_channels=1, num_classes=2)).double()
    assert torch.autograd.gradcheck(network, torch.randn(1, 1, 4, 4, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": [8, 16]}, r"channels \[8, 16\] for 3 stages.*leave them out for \[8, 16, 24\]"),
        ({"channels": [8, 18, 24]}, "divisible by 4"),
        ({"channels": [8, 4, 24]}, "needs at least 5"),
    ],
)
def test_a_plan_it_cannot_be_built_from(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        EGEUNet(**changes, **plan_arguments(3))


def test_a_plan_of_one_stage() -> None:
    with pytest.raises(PlanError, match="needs at least two"):
        EGEUNet(**plan_arguments(3, 1))


def test_an_input_that_does_not_fit() -> None:
    with pytest.raises(InputSizeError, match=r"divisible by \(4, 4\).*patch of \(16, 28\)"):
        EGEUNet(**plan_arguments(2))(patch(2, (16, 25)))


def test_one_position_is_enough_in_training() -> None:
    assert EGEUNet(**plan_arguments(2))(patch(2, (4, 4))).shape == (2, 3, 4, 4)

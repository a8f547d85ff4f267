"""MONAI's networks on isotropic, anisotropic and odd plans, most of them narrower than their presets."""

import pickle
from dataclasses import replace

import pytest
import torch

from nnunetv2_ext.errors import InputSizeError, PlanError
from nnunetv2_ext.memory.weightless import without_weights
from nnunetv2_ext.presets import MONAI, Preset
from nnunetv2_ext.trainers.networks import build_network
from nnunetv2_ext.trainers.resolve import trainer_class
from tests.architectures.network_contract import assert_one_key_per_tensor
from tests.plans import configuration

pytest.importorskip("monai")

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

SMALL = {
    "SwinUNETR": {"feature_size": 12, "depths": [1, 1, 1, 1]},
    "UNETR": {"feature_size": 4, "hidden_size": 24, "mlp_dim": 24, "num_heads": 2},
    "SegResNet": {"init_filters": 8},
    "BasicUNetPlusPlus": {"features": [4, 4, 8, 8, 8, 4]},
    "MedNeXt": {"init_filters": 4},
}
PLANS = {
    "2d": configuration([48, 40], [[1, 1], [2, 2], [2, 2]], [[3, 3]] * 3, [4, 8, 8]),
    "isotropic": configuration([40, 40, 40], [[1, 1, 1], [2, 2, 2], [2, 2, 2]], [[3, 3, 3]] * 3, [4, 8, 8]),
    "anisotropic": configuration(
        [6, 40, 32], [[1, 1, 1], [1, 2, 2], [2, 2, 2]], [[1, 3, 3], [1, 3, 3], [3, 3, 3]], [4, 8, 8], spacing=[5.0, 1.0, 1.0]
    ),
    "odd": configuration([20, 36, 28], [[1, 1, 1], [2, 2, 2], [2, 2, 1]], [[3, 3, 3]] * 3, [4, 8, 8]),
}
every_row = pytest.mark.parametrize("row", MONAI, ids=lambda row: row.name)
SLOW = pytest.mark.slow


def small(row: Preset) -> Preset:
    network_arguments = {**row.arguments["network_arguments"], **SMALL.get(row.name, {})}
    return replace(row, arguments={**row.arguments, "network_arguments": network_arguments})


def network(row: Preset, plan: str, *, channels: int = 1, deep_supervision: bool = True):
    torch.manual_seed(0)
    manager = ConfigurationManager(PLANS[plan])
    return build_network(row, manager, channels, 3, deep_supervision=deep_supervision)


def patch(plan: str, batch: int = 1) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(batch, 1, *PLANS[plan]["patch_size"])


@every_row
@pytest.mark.parametrize(
    "plan", ["anisotropic", *(pytest.param(plan, marks=pytest.mark.slow) for plan in ("2d", "isotropic", "odd"))]
)
def test_at_its_full_size_every_parameter_is_trained_and_nothing_is_computed(row, plan):
    net = without_weights(lambda: network(row, plan))
    x = patch(plan).to("meta")
    for deep_supervision in (True, False):
        net.decoder.deep_supervision = deep_supervision
        net.zero_grad()
        outputs = net(x) if deep_supervision else [net(x)]
        assert outputs[0].shape == (1, 3, *x.shape[2:])
        sum(output.sum() for output in outputs).backward()
        assert [name for name, p in net.named_parameters() if p.requires_grad and p.grad is None] == []
    assert trainer_class(f"nnUNetTrainer{row.name}NoMirroring_3epochs")


@every_row
def test_supervises_the_heads_that_the_network_has(row):
    net = without_weights(lambda: network(row, "anisotropic"))
    alone = row.hyperparameters.get("enable_deep_supervision") is False
    assert len(net(patch("anisotropic").to("meta"))) == (1 if alone else 2)


@pytest.mark.slow
@every_row
@pytest.mark.parametrize("plan", ["2d", "anisotropic"])
def test_fulfils_nnunet_s_contract(row, plan):
    net, x = network(small(row), plan), patch(plan)
    if row.name != "DynUNet":  # which registers each of its blocks twice
        assert_one_key_per_tensor(net)
    sum(output.square().mean() for output in net(x)).backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters() if parameter.requires_grad)
    predicting = network(small(row), plan, deep_supervision=False).eval()
    predicting.load_state_dict(net.state_dict())
    with torch.no_grad():
        expected = predicting(x)
        torch.testing.assert_close(net.eval()(x)[0], expected)
        torch.testing.assert_close(pickle.loads(pickle.dumps(predicting))(x), expected)
    assert predicting.compute_conv_feature_map_size(list(x.shape[2:])) > 0


@pytest.mark.slow
@every_row
def test_exports_and_compiles(row):
    net, x = network(small(row), "2d", deep_supervision=False).eval(), patch("2d")
    expected = net(x)
    torch.testing.assert_close(torch.export.export(net, (x,)).module()(x), expected, rtol=1e-3, atol=1e-4)
    torch.compiler.reset()
    torch.testing.assert_close(torch.compile(net, backend="eager")(x), expected, rtol=1e-3, atol=1e-4)


def test_a_network_that_can_not_take_the_channels_is_said():
    row = next(row for row in MONAI if row.name == "VNet")
    with pytest.raises(PlanError, match=r"VNet can't be built for this plan: ValueError: .*divisible by in_channels"):
        network(row, "2d", channels=3)


def test_a_patch_that_is_too_small_for_training_is_said():
    row = next(row for row in MONAI if row.name == "SwinUNETR")
    with pytest.raises(InputSizeError, match="use a patch of more than 32 on one axis"):
        network(small(row), "2d")(torch.randn(1, 1, 32, 32))

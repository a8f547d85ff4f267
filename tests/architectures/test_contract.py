"""nnU-Net's contract with a network, on a 2D, an isotropic and an anisotropic 3D plan.

Every network is held to all of it. Ablations, which run the code of their network without a part, are held to what a missing
part could break.
"""

import io
import pickle
from collections.abc import Iterator
from copy import deepcopy
from math import prod

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_ext.errors import CheckpointError, InputSizeError
from tests.plans import CONFIGURATIONS, NETWORKS, OUR_PRESETS, arguments, every_preset, network

every_network = pytest.mark.parametrize("preset", NETWORKS)
every_plan = pytest.mark.parametrize("plan", ["2d", "3d_anisotropic", pytest.param("3d", marks=pytest.mark.slow)])
every_preset_and_plan = pytest.mark.parametrize(  # ablations on one plan alone
    ("preset", "plan"),
    [
        *((name, plan) for name in NETWORKS for plan in ("2d", "3d_anisotropic")),
        *(pytest.param(name, "3d", marks=pytest.mark.slow) for name in NETWORKS),
        *(pytest.param(name, "3d_anisotropic", marks=pytest.mark.slow) for name in OUR_PRESETS if name not in NETWORKS),
    ],
)


def patch(plan: str, channels: int = 1, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(2, channels, *CONFIGURATIONS[plan]["patch_size"], dtype=dtype)


def expected_sizes(plan: str) -> list[tuple[int, ...]]:
    strides = CONFIGURATIONS[plan]["architecture"]["arch_kwargs"]["strides"]
    steps = [[prod(axis) for axis in zip(*strides[: stage + 1], strict=True)] for stage in range(len(strides) - 1)]
    return [tuple(p // s for p, s in zip(CONFIGURATIONS[plan]["patch_size"], step, strict=True)) for step in steps]


@every_preset_and_plan
@pytest.mark.parametrize("deep_supervision", [True, False])
def test_forward_and_backward_reach_every_parameter(preset, plan, deep_supervision):
    net = network(preset, plan, channels=2, deep_supervision=deep_supervision)
    outputs = net(patch(plan, channels=2))
    if deep_supervision:
        assert [tuple(output.shape) for output in outputs] == [(2, 3, *size) for size in expected_sizes(plan)]
    else:
        assert outputs.shape == (2, 3, *CONFIGURATIONS[plan]["patch_size"])
    sum(output.square().mean() for output in (outputs if deep_supervision else [outputs])).backward()
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


@every_preset_and_plan
def test_with_deep_supervision_every_parameter_has_a_signal(preset, plan):
    net = network(preset, plan).double()
    outputs = net(patch(plan, dtype=torch.float64))
    sum((output * torch.randn_like(output)).sum() for output in outputs).backward()
    # a convolution's bias in front of an InstanceNorm has none, in the host's networks too
    dead = {name for name, parameter in net.named_parameters() if parameter.grad.abs().max() == 0}
    assert {name for name in dead if not name.endswith("bias")} == set()


@every_network
@every_plan
def test_deep_supervision_is_a_switch_and_the_finest_comes_first(preset, plan):
    net = network(preset, plan).eval()
    with torch.no_grad():
        supervised = net(patch(plan))
        net.decoder.deep_supervision = False
        alone = net(patch(plan))
    torch.testing.assert_close(alone, supervised[0])
    assert isinstance(supervised, list)


@every_preset_and_plan
def test_one_state_dict_key_per_tensor_and_the_same_without_deep_supervision(preset, plan):
    net = network(preset, plan)
    places = [tensor.data_ptr() for tensor in net.state_dict(keep_vars=True).values() if tensor.numel()]
    assert len(places) == len(set(places))
    network(preset, plan, deep_supervision=False).load_state_dict(net.state_dict())


@every_network
@every_plan
def test_pickle_save_and_load_keep_the_outputs(preset, plan, tmp_path):
    net = network(preset, plan, deep_supervision=False).eval()
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    loaded = network(preset, plan, deep_supervision=False).eval()
    loaded.load_state_dict(torch.load(tmp_path / "weights.pth", weights_only=True))
    with torch.no_grad():
        expected = net(patch(plan))
        torch.testing.assert_close(loaded(patch(plan)), expected)
        torch.testing.assert_close(pickle.loads(pickle.dumps(net))(patch(plan)), expected)


@pytest.mark.slow  # tracing takes seconds
@every_network
def test_export(preset):
    net = network(preset, "3d_anisotropic", deep_supervision=False).double().eval()  # where the order of sums doesn't show
    x = patch("3d_anisotropic", dtype=torch.float64)
    exported = torch.export.export(net, (x,))
    torch.export.save(exported, io.BytesIO())
    torch.testing.assert_close(exported.module()(x), net(x))


@pytest.mark.slow  # tracing takes seconds
@every_network
def test_compiles_into_one_graph(preset):
    torch.compiler.reset()
    net = network(preset, "2d").double()  # where the order of sums doesn't show
    x = patch("2d", dtype=torch.float64)
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    torch.manual_seed(0)  # dropout
    actual = compiled(x)
    torch.manual_seed(0)
    for ours, expected in zip(actual, net(x), strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.fixture
def one_process(tmp_path) -> Iterator[None]:
    """Distributed training of one process."""
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@every_preset
@pytest.mark.parametrize("deep_supervision", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("one_process")
def test_distributed_training_finds_every_gradient_in_every_step(preset, deep_supervision):
    net = network(preset, "2d", deep_supervision=deep_supervision).double()
    distributed, x = DistributedDataParallel(deepcopy(net)), patch("2d", dtype=torch.float64)
    for step in range(2):  # a gradient that didn't come is missed in the next step
        for model in (net, distributed):
            torch.manual_seed(step)  # dropout
            outputs = model(x)
            sum(output.square().mean() for output in (outputs if deep_supervision else [outputs])).backward()
    for ours, expected in zip(distributed.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, expected.grad)


@every_network
@every_plan
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_bfloat16_is_finite_and_close(preset, plan, scale):
    net = network(preset, plan, deep_supervision=False).eval()
    x = scale * patch(plan)
    with torch.no_grad():
        expected = net(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            ours = net(x).float()
    assert ours.isfinite().all()
    # bfloat16 has 8 bits of mantissa, and untrained networks with norms amplify what that loses
    assert scale > 1 or torch.corrcoef(torch.stack((ours.flatten(), expected.flatten())))[0, 1] > 0.9


@pytest.mark.parametrize("preset", ["EGEUNet"])
def test_memory_estimate_is_for_nnunet_and_grows_with_the_patch(preset):
    net = network(preset, "3d")
    size = CONFIGURATIONS["3d"]["patch_size"]
    small, large = (net.compute_conv_feature_map_size([factor * s for s in size]) for factor in (1, 2))
    assert isinstance(small, int)
    assert 0 < small < large


@every_network
@pytest.mark.parametrize(("channels", "classes"), [(1, 1), (3, 2), (4, 7)])
def test_any_number_of_channels_and_classes(preset, channels, classes):
    net = network(preset, "2d", channels=channels, classes=classes, deep_supervision=False).eval()
    assert net(patch("2d", channels)).shape[1] == classes


@every_network
@every_plan
def test_an_input_that_does_not_fit_is_refused_before_the_first_convolution(preset, plan):
    net = network(preset, plan)
    size = [2 * s + 1 for s in CONFIGURATIONS[plan]["patch_size"]]
    with pytest.raises(InputSizeError, match="use a patch of"):
        net(torch.zeros(1, 1, *size))
    with pytest.raises(InputSizeError, match="need"):
        net(torch.zeros(1, 2, *CONFIGURATIONS[plan]["patch_size"]))


@every_network
def test_weights_of_another_network_are_refused(preset):
    stock = PlainConvUNet(**arguments("2d"))
    with pytest.raises(CheckpointError, match="the weights are not those of"):
        network(preset, "2d").load_state_dict(stock.state_dict())


@pytest.mark.slow
def test_inductor_equals_eager():
    torch.compiler.reset()
    net = network("EGE", "3d", deep_supervision=False).double().eval()
    x = patch("3d", dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(net, fullgraph=True)(x), net(x))

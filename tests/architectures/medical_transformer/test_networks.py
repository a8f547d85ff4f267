"""What holds for all networks of the Medical Transformer."""

import pickle
from copy import deepcopy
from math import prod

import pytest
import torch

from nnunetv2_ext.architectures import AxialUNet, MedT
from nnunetv2_ext.architectures.medical_transformer.axial_attention import AxialAttention
from nnunetv2_ext.errors import InputSizeError, PlanError
from nnunetv2_ext.memory.step import step_memory
from tests.architectures.medical_transformer.plans import NETWORKS, PLANS, network, patch, plan_of

every_network = pytest.mark.parametrize("name", NETWORKS)
every_plan = pytest.mark.parametrize("plan", PLANS)


def expected_sizes(plan: str) -> list[tuple[int, ...]]:
    size, strides, _ = PLANS[plan]
    steps = [[prod(axis) for axis in zip(*strides[: stage + 1], strict=True)] for stage in range(len(strides) - 1)]
    return [tuple(length // one for length, one in zip(size, step, strict=True)) for step in steps]


@every_network
@every_plan
@pytest.mark.parametrize("deep_supervision", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_double_precision_forward_and_backward(name, plan, deep_supervision):
    torch.manual_seed(0)
    net = network(name, plan, deep_supervision=deep_supervision).double()
    outputs = net(patch(plan).double())
    outputs = outputs if deep_supervision else [outputs]
    assert [tuple(output.shape) for output in outputs] == [
        (2, 3, *size) for size in expected_sizes(plan)[: None if deep_supervision else 1]
    ]
    sum((output * torch.randn_like(output)).sum() for output in outputs).backward()
    assert [key for key, parameter in net.named_parameters() if parameter.grad is None] == []
    if deep_supervision:
        dead = [key for key, parameter in net.named_parameters() if not parameter.grad.any() and not key.endswith("bias")]
        assert dead == []


PUBLISHED = {  # the published parameters, and those of them that are dead
    "AxialUNet": (1_326_850, 384),
    "GatedAxialUNet": (1_326_914, 384),
    "LoGo": (1_529_532, 562),
    "MedT": (1_560_140, 35_842),
}


@every_network
def test_parameters_are_the_published_ones(name):
    plan = plan_of([[1, 1], *[[2, 2]] * 5], channels=3)
    net = NETWORKS[name](patch_size=[128, 128], **plan)
    ours = sum(parameter.numel() for parameter in net.parameters())
    coarser_heads = sum(parameter.numel() for parameter in net.decoder.seg_layers[1:].parameters())
    total, dead = PUBLISHED[name]
    assert ours - coarser_heads == total - dead
    assert coarser_heads == 968


@pytest.mark.parametrize("stages", [3, 5, 7, 8])
@pytest.mark.parametrize("name", ["AxialUNet", "MedT"])
def test_plans_of_other_depth(name, stages):
    strides = [[1, 1], *[[2, 2]] * (stages - 1)]
    size = [4 * 2 ** (stages - 1)] * 2
    with torch.device("meta"):
        net = NETWORKS[name](patch_size=size, **plan_of(strides))
        outputs = net(torch.zeros(1, 1, *size))
    branch = net.branch if name == "AxialUNet" else net.local_branch
    assert [len(layer) for layer in branch.layers] == [1, 2, 4, 1, 1, 1][: stages - 2]
    assert [layer[0].up[0].out_channels for layer in branch.layers] == [32, 64, 128, 256, 256, 256][: stages - 2]
    assert [output.shape[-1] for output in outputs] == [size[0] // 2**stage for stage in range(stages - 1)]


@every_network
def test_where_the_plan_has_a_kernel_or_stride_of_one_so_has_the_network(name):
    net = network(name, "anisotropic")
    branch = net.branch if hasattr(net, "branch") else net.local_branch
    stem = branch.stem
    assert [stem[index].kernel_size for index in (0, 3, 6)] == [(1, 7, 7), (1, 3, 3), (1, 3, 3)]
    assert stem[0].stride == (1, 2, 2)
    assert branch.layers[1][0].attentions[-1].pool.kernel_size == (1, 2, 2)
    assert branch.bottleneck.stride == (2, 2, 1)
    assert [convolution.kernel_size for convolution in branch.decoder] == [(3, 3, 3), (1, 3, 3)]


@every_network
def test_an_embedding_is_as_long_as_the_patch_at_its_stage(name):
    net = network(name, "odd")
    branch = net.branch if hasattr(net, "branch") else net.global_branch
    lengths = [[attention.embedding.shape[1] for attention in layer[0].attentions] for layer in branch.layers]
    assert lengths == [[2 * length - 1 for length in (10, 14, 10)]][: len(lengths)]


@pytest.mark.parametrize("keywords", [{}, {"patch_size": None}, {"patch_size": 64}])
def test_another_size_than_the_patch_is_served(keywords):
    net = network("AxialUNet", "2d", deep_supervision=False, **keywords).eval()
    assert net(torch.randn(1, 1, 48, 16)).shape == (1, 3, 48, 16)


@every_network
def test_deep_supervision_is_a_switch(name):
    net = network(name, "odd").eval()
    x = patch("odd")
    with torch.no_grad():
        supervised = net(x)
        net.decoder.deep_supervision = False
        torch.testing.assert_close(net(x), supervised[0])


@every_network
def test_one_key_per_tensor_and_pickle(name):
    net = network(name, "2d", deep_supervision=False).eval()
    places = [tensor.data_ptr() for tensor in net.state_dict(keep_vars=True).values()]
    assert len(places) == len(set(places))
    x = patch("2d")
    torch.testing.assert_close(pickle.loads(pickle.dumps(net))(x), net(x))


# No plan with maps of 2x2x2: in bfloat16 on a CPU torch's own Conv3d can give infinite gradients of its weight there, for 128
# such maps of random numbers already.
@every_network
@pytest.mark.parametrize("plan", ["2d", pytest.param("odd", marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_large_inputs_stay_finite_in_half_precision(name, plan, dtype):
    torch.manual_seed(0)
    net = network(name, plan)
    with torch.autocast("cpu", dtype=dtype):
        outputs = net(patch(plan) * 1e3)
    sum(output.float().square().mean() for output in outputs).backward()
    assert all(output.isfinite().all() for output in outputs)
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


@every_network
def test_pieces_change_neither_outputs_nor_gradients_nor_statistics(name):
    torch.manual_seed(0)
    whole = network(name, "3d").double()
    pieces = deepcopy(whole)
    for module in pieces.modules():
        if isinstance(module, AxialAttention):
            module.entries_at_once = 1000
    x, found = patch("3d").double(), []
    for net in (whole, pieces):
        outputs = net(x)
        sum((output * torch.cos(torch.arange(output.numel())).view_as(output)).sum() for output in outputs).backward()
        found.append({**{k: p.grad for k, p in net.named_parameters()}, **dict(net.named_buffers()), "output": outputs[0]})
    for key, expected in found[0].items():
        torch.testing.assert_close(found[1][key], expected, rtol=1e-7, atol=1e-9, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.slow
@every_network
def test_a_patch_of_128_cubed_trains_in_24_gigabytes(name):
    with torch.device("meta"):
        net = NETWORKS[name](patch_size=[128] * 3, **plan_of([[1] * 3, *[[2] * 3] * 5]))
        memory = step_memory(net, torch.zeros(2, 1, 128, 128, 128), precision="float32")
    assert memory.peak < 12 * 2**30


def test_the_gates_are_four_per_gated_attention_and_one_switch_freezes_them():
    net = network("MedT", "2d")
    assert len(list(net.gates())) == 4 * 2 * 3  # axes, blocks of the global branch
    for frozen in (True, False):
        net.gates_frozen = frozen
        assert net.gates_frozen == frozen
        net.zero_grad()
        sum((output * torch.randn_like(output)).sum() for output in net(patch("2d"))).backward()
        assert all((gate.grad == 0) == frozen for gate in net.gates())
    plain = network("AxialUNet", "2d")
    plain.gates_frozen = True
    assert not plain.gates_frozen


@pytest.mark.slow
def test_a_compiled_network_sees_the_switch():
    torch.compiler.reset()
    net = network("GatedAxialUNet", "2d", layers=[1])
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    for frozen in (True, False, True):
        net.gates_frozen = frozen
        net.zero_grad()
        sum((output * torch.randn_like(output)).sum() for output in compiled(patch("2d"))).backward()
        assert all((gate.grad == 0) == frozen for gate in net.gates())


OFF = {
    "gates": ("MedT", {"position": "with"}),
    "position": ("MedT", {"position": "without"}),
    "position of LoGo": ("LoGo", {"position": "without", "local_position": "without"}),
    "local branch": ("MedT", {"local": False}),
    "attention": ("MedT", {"attention": False}),
    "attention of AxialUNet": ("AxialUNet", {"attention": False}),
}


@pytest.mark.parametrize("component", OFF)
@pytest.mark.parametrize("plan", ["2d", "anisotropic"])
def test_ablations_without_a_component(component, plan):
    name, keywords = OFF[component]
    net, full = network(name, plan, **keywords), network(name, plan)
    outputs = net(patch(plan))
    assert [output.shape for output in outputs] == [output.shape for output in full(patch(plan))]
    sum(output.square().mean() for output in outputs).backward()
    assert [key for key, parameter in net.named_parameters() if parameter.grad is None] == []
    keys = {"gates": "gates", "position": "embedding", "local branch": "local_branch", "attention": "attentions"}[
        component.split(" of ")[0]
    ]
    assert any(keys in key for key in full.state_dict())
    assert not any(keys in key for key in net.state_dict())


def test_plans_and_inputs_that_can_not_work_are_refused():
    with pytest.raises(PlanError, match="got a plan of 2 stages, needs at least three"):
        AxialUNet(**plan_of([[1, 1], [2, 2]]))
    with pytest.raises(PlanError, match="use fewer heads or a greater width"):
        AxialUNet(width=1 / 16, **plan_of([[1, 1], [2, 2], [2, 2]]))
    with pytest.raises(PlanError, match="one number per axis"):
        AxialUNet(patch_size=[8, 8, 8], **plan_of([[1, 1], [2, 2], [2, 2]]))
    for name in NETWORKS:
        with pytest.raises(InputSizeError, match="use a patch of"):
            network(name, "3d")(torch.zeros(1, 1, 18, 16, 16))
    assert isinstance(network("MedT", "3d"), MedT)

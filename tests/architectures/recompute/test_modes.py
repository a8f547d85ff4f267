"""Every mode of recomputation gives the same step, and keeps less."""

import copy
import pickle
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.blocks import EAB, GAB, GHPA, MBTFE, ConvStack, Gate
from nnunetv2_ext.architectures.recompute import producers
from nnunetv2_ext.architectures.recompute.lazy import convolve
from nnunetv2_ext.architectures.unet.ege import EGE
from nnunetv2_ext.memory.gpu_paths import gpu_paths
from nnunetv2_ext.memory.step import step_memory
from tests.plans import with_open_shortcuts

NORMS = {"norm": nn.InstanceNorm3d, "norm_arguments": {"affine": True}, "nonlinearity": nn.LeakyReLU}
LEAKY = {**NORMS, "nonlinearity_arguments": {"inplace": True}}


def three_skips() -> list[Tensor]:
    return [torch.randn(2, channels, size, 8, size) for channels, size in ((4, 8), (5, 4), (6, 2))]


BLOCKS: dict[str, tuple[Callable[[str], nn.Module], Callable[[], list[Tensor]]]] = {
    "mbtfe": (lambda recompute: MBTFE(4, 6, dimensions=3, recompute=recompute), lambda: [torch.randn(2, 4, 5, 4, 6)]),
    "mbtfe 2d": (lambda recompute: MBTFE(4, 4, dimensions=2, recompute=recompute), lambda: [torch.randn(2, 4, 5, 7)]),
    "mbtfe 1x3x3": (
        lambda recompute: MBTFE(4, 5, dimensions=3, kernel_size=(1, 3, 3), recompute=recompute),
        lambda: [torch.randn(1, 4, 3, 6, 5)],
    ),
    "mbtfe instance norm": (
        lambda recompute: MBTFE(4, 4, dimensions=3, norm=nn.InstanceNorm3d, recompute=recompute),
        lambda: [torch.randn(2, 4, 5, 4, 6)],
    ),
    "mbtfe shortcut": (
        lambda recompute: with_open_shortcuts(MBTFE(4, 4, dimensions=3, shortcut=True, recompute=recompute)),
        lambda: [torch.randn(2, 4, 5, 4, 6)],
    ),
    "mbtfe unknown norm": (  # there is no producer for it, so the modules are called
        lambda recompute: MBTFE(4, 4, dimensions=3, norm=FourGroups, recompute=recompute),
        lambda: [torch.randn(2, 4, 5, 4, 6)],
    ),
    "eab": (
        lambda recompute: EAB((4, 5, 6), dimensions=3, strides=((2, 1, 2),) * 2, block_arguments=LEAKY, recompute=recompute),
        three_skips,
    ),
    "eab dropout": (
        lambda recompute: EAB(
            (4, 5, 6),
            dimensions=3,
            strides=((2, 1, 2),) * 2,
            block_arguments={**LEAKY, "dropout": nn.Dropout3d, "dropout_arguments": {"p": 0.5}},
            recompute=recompute,
        ),
        three_skips,
    ),
    "eab random nonlinearity": (
        lambda recompute: EAB(
            (4, 5, 6),
            dimensions=3,
            strides=((2, 1, 2),) * 2,
            block_arguments={**LEAKY, "nonlinearity": nn.RReLU, "nonlinearity_arguments": {}},
            recompute=recompute,
        ),
        three_skips,
    ),
    "eab shortcut": (
        lambda recompute: with_open_shortcuts(
            EAB((4, 5, 6), dimensions=3, strides=((2, 1, 2),) * 2, block_arguments=LEAKY, shortcut=True, recompute=recompute)
        ),
        three_skips,
    ),
    "gate": (
        lambda recompute: Gate(4, dimensions=2, recompute=recompute),
        lambda: [torch.randn(2, 4, 5, 6), torch.randn(2, 4, 5, 6)],
    ),
    "gab": (
        lambda recompute: GAB(6, 8, dimensions=2, recompute=recompute),
        lambda: [torch.randn(2, 6, 3, 4), torch.randn(2, 8, 6, 8), torch.randn(2, 1, 6, 8)],
    ),
    "gab shortcut": (
        lambda recompute: with_open_shortcuts(GAB(6, 8, dimensions=2, shortcut=True, recompute=recompute)),
        lambda: [torch.randn(2, 6, 3, 4), torch.randn(2, 8, 6, 8), torch.randn(2, 1, 6, 8)],
    ),
    "ghpa shortcut": (
        lambda recompute: with_open_shortcuts(GHPA(6, 6, dimensions=3, shortcut=True, recompute=recompute)),
        lambda: [torch.randn(2, 6, 3, 4, 5)],
    ),
    "ghpa": (lambda recompute: GHPA(6, 7, dimensions=3, recompute=recompute), lambda: [torch.randn(2, 6, 3, 4, 5)]),
    "stack": (
        lambda recompute: ConvStack(3, nn.Conv3d, 2, 5, stride=2, recompute=recompute, **LEAKY),
        lambda: [torch.randn(2, 2, 6, 4, 8)],
    ),
    "stack without norm": (
        lambda recompute: ConvStack(2, nn.Conv2d, 2, 5, nonlinearity=nn.ReLU, recompute=recompute),
        lambda: [torch.randn(2, 2, 6, 4)],
    ),
}


class FourGroups(nn.GroupNorm):
    def __init__(self, channels: int) -> None:
        super().__init__(4, channels)


def ege(recompute: str, **arguments: object) -> EGE:
    network = EGE(
        recompute=recompute,
        input_channels=1,
        num_classes=2,
        n_stages=4,
        features_per_stage=[5, 6, 7, 8],
        conv_op=nn.Conv3d,
        kernel_sizes=[[1, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]],
        strides=[[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2]],
        n_conv_per_stage=2,
        n_conv_per_stage_decoder=1,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=True,
        **arguments,
    )
    return with_open_shortcuts(network)


def step(module: nn.Module, inputs: list[Tensor]) -> dict[str, Tensor]:
    """Everything that one training step leaves behind."""
    torch.manual_seed(1)
    inputs = [tensor.clone().requires_grad_() for tensor in inputs]
    outputs = module(inputs) if isinstance(module, EAB) else module(*inputs)
    outputs = [outputs] if isinstance(outputs, Tensor) else outputs
    sum((o * torch.cos(torch.arange(o.numel(), dtype=o.dtype)).view_as(o)).sum() for o in outputs).backward()
    return {
        **{f"output {index}": output.detach() for index, output in enumerate(outputs)},
        **{f"gradient of input {index}": tensor.grad for index, tensor in enumerate(inputs)},
        **{f"gradient of {name}": parameter.grad for name, parameter in module.named_parameters()},
        **{name: buffer.clone() for name, buffer in module.named_buffers()},
    }


def same_steps(build: Callable[[str], nn.Module], recompute: str, inputs: list[Tensor]) -> None:
    torch.manual_seed(0)
    plain = build("none").double().train()
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)  # slopes below zero too
    other = build(recompute).double().train()
    other.load_state_dict(plain.state_dict())
    inputs = [tensor.double() for tensor in inputs]
    for _ in range(2):
        expected, got = step(plain, inputs), step(other, inputs)
        assert expected.keys() == got.keys()
        for name, value in expected.items():
            torch.testing.assert_close(got[name], value, rtol=1e-8, atol=1e-9, msg=lambda m, name=name: f"{name}: {m}")
    with torch.no_grad():
        plain.eval(), other.eval()
        arguments = [inputs] if isinstance(plain, EAB) else inputs
        torch.testing.assert_close(other(*arguments), plain(*arguments), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("recompute", ["selective", "full"])
@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("smallest", [2**23, 1], ids=["whole", "chunks"])
@pytest.mark.parametrize(("device", "paths"), [("cpu", nullcontext), ("other", gpu_paths)], ids=["cpu", "gpu"])
def test_same(name: str, recompute: str, smallest: int, device: str, paths: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(producers.MIN_CHUNK_BYTES, device, smallest)
    build, inputs = BLOCKS[name]
    with paths():
        same_steps(build, recompute, inputs())


@pytest.mark.slow
@pytest.mark.parametrize("recompute", ["selective", "full"])
@pytest.mark.parametrize("arguments", [{}, {"mbtfe_norm": "plan", "gab": False}], ids=["batch", "plan"])
def test_same_network(recompute: str, arguments: dict) -> None:
    same_steps(lambda kind: ege(kind, **arguments), recompute, [torch.randn(2, 1, 8, 16, 16)])


@pytest.mark.parametrize("recompute", ["selective", "full"])
def test_gradcheck(recompute: str) -> None:
    torch.manual_seed(0)
    block = MBTFE(2, 2, dimensions=2, recompute=recompute).double().train()
    assert torch.autograd.gradcheck(block, torch.randn(2, 2, 3, 3).double().requires_grad_(), fast_mode=True)


@pytest.mark.parametrize("recompute", ["selective", "full"])
def test_backward_twice_and_used_twice(recompute: str) -> None:
    torch.manual_seed(0)
    blocks = {kind: MBTFE(3, 3, dimensions=2, recompute=kind).double() for kind in ("none", recompute)}
    blocks[recompute].load_state_dict(blocks["none"].state_dict())
    x, gradients = torch.randn(2, 3, 5, 4).double(), []
    for block in blocks.values():
        loss = block(block(x)).square().sum()
        loss.backward(retain_graph=True)
        loss.backward()
        gradients.append([parameter.grad for parameter in block.parameters()])
        assert all(int(b) == 2 for name, b in block.named_buffers() if name.endswith("num_batches_tracked"))
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("recompute", ["selective", "full"])
@pytest.mark.parametrize("settings", [{"momentum": None}, {"track_running_stats": False}, {"affine": False}])
def test_settings_of_batch_norm(recompute: str, settings: dict) -> None:
    def build(kind: str) -> nn.Module:
        block = MBTFE(3, 3, dimensions=2, recompute=kind)
        for branch in block.branches:
            for unit in branch:
                unit.norm = nn.BatchNorm2d(3, **settings)
        return block

    same_steps(build, recompute, [torch.randn(2, 3, 5, 4)])


class Counting(nn.Module):
    """A norm with statistics that torch's own norms don't have, such as every third-party norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x / (1 + x.detach().abs().mean())


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_statistics_of_any_norm_are_updated_once_a_step(recompute: str) -> None:
    block = MBTFE(3, 3, dimensions=2, norm=Counting, recompute=recompute)
    block(torch.randn(2, 3, 4, 4)).sum().backward()
    assert all(buffer.eq(1).all() for buffer in block.buffers())


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"momentum": None}, {"affine": False}])
def test_running_statistics_are_updated_once_when_compiled_and_used_twice(settings: dict) -> None:
    """As by the decoder, whose next stage and whose head both take a stage's output."""
    torch.compiler.reset()

    class Twice(nn.Module):
        def __init__(self, recompute: str) -> None:
            super().__init__()
            norm = {"norm": nn.BatchNorm2d, "norm_arguments": settings, "nonlinearity": nn.LeakyReLU}
            self.stack = ConvStack(1, nn.Conv2d, 3, 4, recompute=recompute, **norm)
            self.heads = nn.ModuleList(nn.Conv2d(4, 2, 1) for _ in range(2))

        def forward(self, x: Tensor) -> Tensor:
            lazy = self.stack.lazy(x)
            return convolve(self.heads[0], lazy) * convolve(self.heads[1], lazy)

    torch.manual_seed(0)
    plain, network = Twice("none").double(), Twice("selective").double()
    network.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 5, 4).double()
    for function in (plain, torch.compile(network, backend="aot_eager")):
        function(x).square().sum().backward()
    torch.testing.assert_close(dict(network.named_buffers()), dict(plain.named_buffers()))
    for one, other in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("recompute", ["selective", "full"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision(recompute: str, dtype: torch.dtype) -> None:
    network = ege(recompute)
    with torch.autocast("cpu", dtype=dtype):
        outputs = network(torch.randn(1, 1, 8, 16, 16))
        loss = sum(output.float().square().mean() for output in outputs)
    loss.backward()
    assert all(output.dtype == dtype for output in outputs)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("recompute", ["selective", pytest.param("full", marks=pytest.mark.slow)])
def test_compile_gives_the_same(recompute: str) -> None:
    block = MBTFE(3, 3, dimensions=3, recompute=recompute).double()
    compiled = copy.deepcopy(block)
    function = torch.compile(compiled, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 3, 4, 4, 4).double()
    for module in (block, function):
        module(x).square().sum().backward()
    for one, other in zip(block.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(dict(block.named_buffers()), dict(compiled.named_buffers()))


@pytest.mark.slow
@pytest.mark.parametrize("recompute", ["selective", "full"])
def test_a_compiled_network_gives_what_the_plain_one_gives(recompute: str) -> None:
    torch.compiler.reset()
    torch.manual_seed(0)
    plain, network = ege("none").double(), ege(recompute).double()
    network.load_state_dict(plain.state_dict())
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 1, 16, 16, 16).double()
    for function in (plain, compiled):
        sum((output * torch.cos(output.detach())).sum() for output in function(x)).backward()
    for (name, one), other in zip(plain.named_parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-7, atol=1e-9, msg=name)
    torch.testing.assert_close(dict(network.named_buffers()), dict(plain.named_buffers()))


@pytest.mark.parametrize("recompute", ["selective", "full"])
def test_export_and_pickle(recompute: str) -> None:
    block = pickle.loads(pickle.dumps(MBTFE(3, 3, dimensions=3, recompute=recompute))).eval()
    x = torch.randn(1, 3, 4, 4, 4)
    torch.testing.assert_close(torch.export.export(block, (x,)).module()(x), block(x))


@pytest.mark.parametrize("recompute", ["selective", "full"])
def test_state_dict_is_the_same(recompute: str) -> None:
    assert list(ege(recompute).state_dict()) == list(ege("none").state_dict())


def test_one_value_per_channel_is_refused_as_by_torch() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        MBTFE(3, 3, dimensions=2, recompute="selective")(torch.randn(1, 3, 1, 1))


@pytest.mark.slow
def test_memory() -> None:
    """At the size the figures in docs/cost.md are for; nothing is computed on the meta device."""
    plan = ege("none").plan.arguments | {
        "n_stages": 6,
        "features_per_stage": [32, 64, 128, 256, 320, 320],
        "kernel_sizes": 3,
        "strides": [1, 2, 2, 2, 2, 2],
        "n_conv_per_stage_decoder": 2,
    }
    patch = torch.zeros(1, 1, 64, 64, 64, device="meta")

    def peak(recompute: str, **arguments: object) -> int:
        with torch.device("meta"):
            network = EGE(recompute=recompute, **plan, **arguments)
        return step_memory(network, patch, precision="float32").activations

    stock = peak("none", mbtfe_stages=[], ghpa_stages=[], eab=False, gab=False)
    assert peak("selective", ghpa_stages=[], gab=False) < 2.0 * stock
    assert peak("full", ghpa_stages=[], gab=False) < 1.3 * stock
    assert peak("full") < 1.4 * stock

"""Training on two processes against one process with the whole batch."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.blocks import MBTFE, ConvStack
from nnunetv2_ext.architectures.medical_transformer.axial_block import AxialBlock
from nnunetv2_ext.architectures.processes import average_over_processes
from tests.emulation.two_gpus import as_nnunet_does, on_two_gpus

STEPS = 2
BATCH = torch.arange(3 * 4 * 6 * 5).mul(0.7).sin().view(3, 4, 6, 5)
"""three samples, of which the first process has one and the second two"""
NORMED = {"norm": nn.BatchNorm2d, "nonlinearity": nn.LeakyReLU}
BLOCKS: dict[str, Callable[[], nn.Module]] = {
    **{f"MBTFE {mode}": partial(MBTFE, 4, 4, dimensions=2, recompute=mode) for mode in ("none", "selective", "full")},
    "BatchNorm": partial(ConvStack, 2, nn.Conv2d, 4, 4, recompute="selective", **NORMED),
    "axial": partial(AxialBlock, 4, 8, dimensions=2, size=(6, 5), heads=2, position="gated"),
}
SETTINGS = {
    "eager": {"names": list(BLOCKS), "backend": None, "half": False},
    "half": {"names": list(BLOCKS), "backend": None, "half": True},
    "compiled": {"names": ["MBTFE full", "BatchNorm", "axial"], "backend": "aot_eager", "half": False},
}


def trained(name: str, x: Tensor, backend: str | None, half: bool, *, distributed: bool) -> dict[str, Tensor]:
    """Gradients, as nnU-Net gets them, and buffers after two steps."""
    torch.manual_seed(0)
    dtype = torch.float32 if half else torch.float64
    network = BLOCKS[name]().to(dtype)
    model = as_nnunet_does(network, backend) if distributed else network
    for _ in range(STEPS):
        network.zero_grad()
        with torch.autocast("cpu", torch.float16, enabled=half):
            output = model(x.to(dtype))
        output.to(dtype).square().sum().mul(2 if distributed else 1).backward()  # gradients are averaged over two processes
    tensors = {name: parameter.grad for name, parameter in network.named_parameters()}
    tensors |= dict(network.named_buffers())
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def train_each(rank: int, names: list[str], backend: str | None, half: bool) -> dict[str, dict[str, Tensor]]:
    mine = BATCH[:1] if rank == 0 else BATCH[1:]
    return {name: trained(name, mine, backend, half, distributed=True) for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_two_processes_do_what_one_does(setting: str) -> None:
    arguments: Any = SETTINGS[setting]
    half = arguments["half"]
    for blocks in on_two_gpus(train_each, *arguments.values()):
        for name, got in blocks.items():
            expected = trained(name, BATCH, None, half, distributed=False)
            assert all(int(b) == STEPS for key, b in got.items() if key.endswith("num_batches_tracked")), name
            scale = max(float(tensor.abs().max()) for tensor in expected.values())
            assert got.keys() == expected.keys()
            for key, value in expected.items():
                of_gradients = (0.01, 1e-3 * scale) if half else (1e-9, 1e-9 * scale)
                rtol, atol = (1e-3, 1e-4) if half and "running" in key else of_gradients
                message = partial("{} {}: {}".format, name, key)
                torch.testing.assert_close(got[key], value, rtol=rtol, atol=atol, msg=message)


def averages(rank: int) -> list[Tensor]:
    x = torch.full((2, 3), 1.0 + rank, requires_grad=True)
    average, count = average_over_processes(x, 1 + 2 * rank)  # one value of 1, three values of 2
    (average.square().sum() * (1 + rank)).backward()
    return [average.detach(), count, x.grad]


@pytest.mark.slow
def test_averages_are_over_all_values_and_so_are_gradients() -> None:
    average, count = 7 / 4, 4
    grad = 2 * average * (1 + 2)  # of the losses of both processes
    for rank, got in enumerate(on_two_gpus(averages)):
        share = (1 + 2 * rank) / count
        assert [tensor.unique().tolist() for tensor in got] == [[average], [count], [grad * share]]


def test_one_process_keeps_its_averages() -> None:
    x = torch.randn(2, 3, requires_grad=True)
    average, count = average_over_processes(x, 5)
    assert average is x
    assert count == 5

"""The emulation against one process that has the whole batch, and against what the CUDA kernels refuse."""

import pytest
import torch
from torch import nn

from tests.emulation.two_gpus import as_nnunet_does, on_two_gpus

BATCH = torch.linspace(-1, 2, 3 * 2 * 5 * 4).sin().view(3, 2, 5, 4).double()


def build() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1)).double()


def step(rank: int) -> list[torch.Tensor]:
    network = build()
    mine = BATCH[:1] if rank == 0 else BATCH[1:]
    model = as_nnunet_does(network)
    (model(mine).square().sum() * 2).backward()  # gradients are averaged over the processes
    return [*(parameter.grad for parameter in network.parameters()), *network.buffers()]


def half_without_running_statistics(_: int) -> None:
    norm = nn.SyncBatchNorm(2, track_running_stats=False)
    norm(BATCH.half())


@pytest.mark.slow
def test_two_processes_do_what_one_does() -> None:
    network = build()
    network(BATCH).square().sum().backward()
    expected = [*(parameter.grad for parameter in network.parameters()), *network.buffers()]
    for got in on_two_gpus(step):
        torch.testing.assert_close(got, expected)


@pytest.mark.slow
def test_half_precision_without_running_statistics_is_refused_as_on_a_gpu() -> None:
    with pytest.raises(Exception, match="expected scalar type"):
        on_two_gpus(half_without_running_statistics)

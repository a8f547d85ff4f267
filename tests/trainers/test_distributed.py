"""Two processes that train as nnU-Net's on two GPUs do, as far as gloo on a CPU allows.

What only works on GPUs is left out: the devices, and SyncBatchNorm, in whose place each process has statistics of its own.
"""

import json
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from torch import distributed
from torch.nn import SyncBatchNorm
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_ext.trainers.checkpoints import CHECKPOINTS
from tests import processes
from tests.trainers.tiny_training import TinyTraining

PROCESSES = 2


@patch("nnunetv2.training.nnUNetTrainer.nnUNetTrainer.DDP", lambda network, device_ids: DistributedDataParallel(network))  # noqa: ARG005
@patch.object(SyncBatchNorm, "convert_sync_batchnorm", lambda network: network)
def work(training: TinyTraining, name: str, rank: int, deep_supervision: bool) -> None:
    torch.set_num_threads(1)
    store = distributed.FileStore(str(training.root / "store"), PROCESSES)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=PROCESSES)

    def on_cpu(trainer) -> None:
        trainer.device, trainer.grad_scaler, trainer.enable_deep_supervision = torch.device("cpu"), None, deep_supervision

    trainer = training.start(name, seed=rank, adjust=on_cpu)
    trainer.run_training()
    assert trainer.batch_size == 1
    weights = torch.cat([parameter.detach().flatten() for parameter in trainer.network.parameters()])
    torch.save(weights, training.root / f"weights_{rank}.pt")

    continued = training.start(name, seed=rank, adjust=on_cpu, continue_training=True)
    assert continued.current_epoch == 1
    weights = torch.cat([parameter.detach().flatten() for parameter in continued.network.parameters()])
    torch.save(weights, training.root / f"continued_{rank}.pt")
    distributed.barrier()


@pytest.mark.parametrize(
    ("preset", "deep_supervision"),
    [
        ("EAB", True),
        ("EAB", False),
        *(pytest.param(preset, True, marks=pytest.mark.slow) for preset in ("EGE", "EGEUNet", "GatedAxialUNet", "MCANet")),
        pytest.param("EGE", False, marks=pytest.mark.slow),
    ],
)
def test_both_have_the_same_weights_and_one_of_them_writes(preset, deep_supervision, tmp_path, monkeypatch):
    training = TinyTraining(tmp_path, monkeypatch)
    name = f"nnUNetTrainer{preset}_1epochs_3iters"
    logs = [training.root / f"log_{rank}.txt" for rank in range(PROCESSES)]
    ranks = [processes.start(work, training, name, rank, deep_supervision, log=log) for rank, log in enumerate(logs)]
    for rank in ranks:
        rank.join()
    assert [rank.exitcode for rank in ranks] == [0] * PROCESSES, logs[1].read_text() + logs[0].read_text()
    one, other = (torch.load(training.root / f"weights_{rank}.pt") for rank in range(PROCESSES))
    assert torch.equal(one, other)
    for rank in range(PROCESSES):
        assert torch.equal(torch.load(training.root / f"continued_{rank}.pt"), one)
    files = {path.name for path in training.fold(name).glob("*.pth*")}
    assert files == {CHECKPOINTS[0], CHECKPOINTS[2]}
    card = json.loads(Path(training.fold(name), "run_card.json").read_text())
    assert card["differs_from_nnUNetTrainer"].keys().isdisjoint({"batch_size", "oversample_foreground_percent"})

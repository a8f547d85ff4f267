from unittest.mock import MagicMock

import pytest
import torch
from adan_pytorch import Adan
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import nn

from nnunetv2_ext.trainers.gates import GatesMixin
from tests.architectures.medical_transformer.plans import network, patch

OPTIMIZERS = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.99, weight_decay=0.1, nesterov=True),
    "Adam": lambda parameters: torch.optim.Adam(parameters, 0.1, weight_decay=0.1),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, 0.1, weight_decay=0.1),
    "Adan": lambda parameters: Adan(parameters, 0.1, weight_decay=0.1),
}


def trainer(optimizer: str, wrap=lambda network: network) -> nnUNetTrainer:
    """A trainer with nothing but what the hooks touch."""

    class Recipe(nnUNetTrainer):
        def configure_optimizers(self):
            return OPTIMIZERS[optimizer](self.network.parameters()), MagicMock()

    class Trainer(GatesMixin, Recipe):
        def __init__(self):
            self.is_ddp = False
            self.network = wrap(network("GatedAxialUNet", "2d", layers=[1], deep_supervision=False))
            self.logger, self.print_to_log_file = MagicMock(), MagicMock()
            self.optimizer, self.lr_scheduler = self.configure_optimizers()

    return Trainer()


def run_epoch(one: nnUNetTrainer, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The gates before and after one step in an epoch."""
    one.current_epoch = epoch
    one.on_train_epoch_start()
    gates = lambda: torch.stack([gate.detach().clone() for gate in one.medical_transformer.gates()])  # noqa: E731
    before = gates()
    one.optimizer.zero_grad()
    one.network(patch("2d")).square().mean().backward()
    assert all(parameter.grad is not None for parameter in one.network.parameters())
    one.optimizer.step()
    return before, gates()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_gates_do_not_move_in_the_first_ten_epochs_and_do_afterwards(optimizer):
    one = trainer(optimizer)
    for epoch in (0, 9):
        before, after = run_epoch(one, epoch)
        assert torch.equal(before, after)
    assert not any(gate in one.optimizer.state and one.optimizer.state[gate] for gate in one.medical_transformer.gates())
    for epoch in (10, 11):  # Adan takes its first step without a direction
        before, after = run_epoch(one, epoch)
    assert (before != after).all()


def test_a_continued_training_takes_up_where_it_was():
    one = trainer("AdamW")
    for epoch, frozen in ((0, True), (30, False), (5, True)):
        one.current_epoch = epoch
        one.on_train_epoch_start()
        assert one.medical_transformer.gates_frozen == frozen


def test_gates_are_in_the_optimizer_from_the_start():
    one = trainer("AdamW")
    known = {id(parameter) for group in one.optimizer.param_groups for parameter in group["params"]}
    assert all(id(gate) in known for gate in one.medical_transformer.gates())


@pytest.mark.slow
def test_the_network_is_found_inside_of_what_the_host_wraps_it_in():
    torch.compiler.reset()
    one = trainer("AdamW", lambda network: torch.compile(network, fullgraph=True, backend="eager"))
    before, after = run_epoch(one, 0)
    assert torch.equal(before, after)
    before, after = run_epoch(one, 10)
    assert not torch.equal(before, after)
    inner = one.network
    one.network = nn.parallel.DistributedDataParallel.__new__(nn.parallel.DistributedDataParallel)  # without a process group
    nn.Module.__init__(one.network)
    one.network.module = inner
    assert one.medical_transformer is inner._orig_mod


def test_distributed_training_finds_every_gradient(tmp_path):
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        one = trainer("AdamW", nn.parallel.DistributedDataParallel)
        one.is_ddp = True
        for epoch in (0, 10, 11):
            run_epoch(one, epoch)
    finally:
        torch.distributed.destroy_process_group()

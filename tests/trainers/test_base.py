import json
from copy import deepcopy

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_ext.trainers.resolve import any_trainer_class
from tests.plans import every_preset
from tests.trainers.runs import REGIONS, batch, make_trainer


@every_preset
def test_one_step_of_training_moves_every_parameter_that_has_a_gradient(preset, tmp_path, monkeypatch):
    trainer = make_trainer(f"nnUNetTrainer{preset}", tmp_path, monkeypatch)
    trainer.initialize()
    before = {name: parameter.detach().clone() for name, parameter in trainer.network.named_parameters()}
    assert trainer.train_step(batch(trainer))["loss"] < 10
    for name, parameter in trainer.network.named_parameters():
        if parameter.grad is not None and parameter.grad.abs().max() > 1e-6:
            assert not torch.equal(parameter, before[name]), name
    trainer.network.eval()
    with torch.no_grad():
        assert set(trainer.validation_step(batch(trainer))) == {"loss", "tp_hard", "fp_hard", "fn_hard"}


def test_hyperparameters_are_applied_after_the_host_s(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGEAdamW_3epochs_10iters", tmp_path, monkeypatch)
    assert (trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch) == (3, 10, 2)
    assert trainer.initial_lr == 3e-4
    assert trainer.stock_values["num_epochs"] == 1000


def test_regions_reach_the_network_and_the_plan_beside_the_checkpoint(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGE", tmp_path, monkeypatch, labels=REGIONS)
    trainer.initialize()
    assert trainer.network.decoder.region_based
    assert trainer.plans_manager.plans["configurations"]["3d"]["region_based"] is True
    json.dumps(trainer.plans_manager.plans["configurations"])
    trainer.train_step(batch(trainer))


def test_labels_leave_the_plan_as_it_was(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGE", tmp_path, monkeypatch)
    trainer.initialize()
    assert not trainer.network.decoder.region_based
    assert "region_based" not in trainer.plans_manager.plans["configurations"]["3d"]


def test_a_process_without_a_case_keeps_no_other_waiting_in_validation(tmp_path, monkeypatch):
    """In its first forward DistributedDataParallel broadcasts the buffers, which takes a forward of every process."""
    synchronised = []
    monkeypatch.setattr(DistributedDataParallel, "_sync_buffers", lambda _: synchronised.append(True))

    def validate(self, _):
        self.network.eval()
        with torch.no_grad():
            self.network(batch(trainer)["data"])

    monkeypatch.setattr(nnUNetTrainer, "perform_actual_validation", validate)
    trainer = make_trainer("nnUNetTrainerMBTFE", tmp_path, monkeypatch)
    trainer.initialize()
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        trainer.network, trainer.is_ddp = DistributedDataParallel(trainer.network), True
        trainer.perform_actual_validation()
    finally:
        torch.distributed.destroy_process_group()
    assert not synchronised


def test_plans_of_a_program_stay_as_they_are(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGE", tmp_path, monkeypatch, labels=REGIONS)
    plans, dataset = trainer.plans_manager.plans, trainer.dataset_json
    before = deepcopy(plans)
    smaller = any_trainer_class("nnUNetTrainerEGE_bs7")(plans, "3d", 0, dataset, torch.device("cpu"))
    assert smaller.configuration_manager.batch_size == 7
    assert plans == before

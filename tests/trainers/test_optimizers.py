import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from nnunetv2_ext.trainers.adan import Adan
from tests.trainers.runs import make_trainer


def test_adan_has_the_settings_of_the_host_s(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGEAdan", tmp_path, monkeypatch)
    trainer.initialize()
    assert isinstance(trainer.optimizer, Adan)
    group = trainer.optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"], group["betas"]) == (1e-2, 3e-5, (0.98, 0.92, 0.99))


def test_adamw_keeps_its_counts_on_the_cpu_when_a_checkpoint_is_loaded_to_a_gpu(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEABAdamW", tmp_path, monkeypatch)
    with FakeTensorMode(allow_non_fake_inputs=True):
        trainer.network = nn.Linear(2, 2, device="cuda")
        optimizer, _ = trainer.configure_optimizers()
        parameters = list(trainer.network.parameters())
        state = {
            number: {"step": torch.ones((), device="cuda"), "exp_avg": parameter.clone(), "exp_avg_sq": parameter.clone()}
            for number, parameter in enumerate(parameters)
        }
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        assert [optimizer.state[parameter]["step"].device.type for parameter in parameters] == ["cpu", "cpu"]
        assert [optimizer.state[parameter]["exp_avg"].device.type for parameter in parameters] == ["cuda", "cuda"]


def test_adamw(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGEAdamW", tmp_path, monkeypatch)
    trainer.initialize()
    assert isinstance(trainer.optimizer, torch.optim.AdamW)
    assert (trainer.optimizer.param_groups[0]["lr"], trainer.optimizer.param_groups[0]["weight_decay"]) == (3e-4, 1e-2)
    trainer.lr_scheduler.step(500)
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(3e-4 * 0.5**0.9)

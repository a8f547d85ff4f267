import pytest
import torch

from nnunetv2_ext.trainers.adan import Adan
from tests.trainers.runs import make_trainer


def test_adan_has_the_settings_of_the_host_s(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGEAdan", tmp_path, monkeypatch)
    trainer.initialize()
    assert isinstance(trainer.optimizer, Adan)
    group = trainer.optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"], group["betas"]) == (1e-2, 3e-5, (0.98, 0.92, 0.99))


def test_adamw(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGEAdamW", tmp_path, monkeypatch)
    trainer.initialize()
    assert isinstance(trainer.optimizer, torch.optim.AdamW)
    assert (trainer.optimizer.param_groups[0]["lr"], trainer.optimizer.param_groups[0]["weight_decay"]) == (3e-4, 1e-2)
    trainer.lr_scheduler.step(500)
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(3e-4 * 0.5**0.9)

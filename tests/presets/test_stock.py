"""The preset of nnU-Net's own network is stock nnU-Net, but for its name."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from nnunetv2_ext.trainers.adan import Adan
from tests.trainers.runs import batch, make_trainer


@pytest.fixture
def make(tmp_path, monkeypatch) -> Callable[..., Any]:
    def make(name: str, plan: str) -> Any:
        trainer = make_trainer(name, tmp_path, monkeypatch, plan=plan)
        torch.manual_seed(0)
        trainer.initialize()
        return trainer

    return make


@pytest.mark.parametrize("plan", ["2d", "3d", "3d_anisotropic"])
def test_a_step_of_training_is_that_of_stock(plan, make):
    stock, plain = make("nnUNetTrainer", plan), make("nnUNetTrainerPlain", plan)
    assert plain.train_step(batch(plain))["loss"] == stock.train_step(batch(stock))["loss"]
    expected = stock.network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in plain.network.state_dict().items())
    assert plain.optimizer.state_dict()["param_groups"] == stock.optimizer.state_dict()["param_groups"]


def test_it_takes_our_suffixes(make):
    trainer = make("nnUNetTrainerPlainAdanDiceLossNoMirroring_10epochs_40iters", "2d")
    assert (trainer.num_epochs, trainer.num_iterations_per_epoch) == (10, 40)
    assert isinstance(trainer.optimizer, Adan)
    assert trainer.inference_allowed_mirroring_axes is None
    trainer.train_step(batch(trainer))

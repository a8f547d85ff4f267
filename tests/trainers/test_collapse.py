import math

import pytest

from nnunetv2_ext.trainers.collapse import epochs_of_zeros
from tests.trainers.runs import make_trainer


@pytest.mark.parametrize(
    ("history", "epochs"),
    [
        ([], 0),
        ([[0.0, 0.0]], 1),
        ([[0.5, 0.0], [0.0, 0.0], [0.0, 0.0]], 2),
        ([[0.0, 0.0], [0.0, 0.1]], 0),
        ([[0.0, math.nan], [math.nan, 0.0]], 2),  # a class that didn't occur in the patches of an epoch
        ([[0.0, 0.0], [math.nan, math.nan]], 0),
    ],
)
def test_counts_the_last_epochs_without_any_overlap(history, epochs):
    assert epochs_of_zeros(history) == epochs


def train(trainer, dice: list[list[float]]) -> str:
    """The log of a training with this pseudo Dice in each epoch."""
    trainer.initialize()
    trainer.disable_checkpointing = True
    for values in dice:
        trainer.on_epoch_start()
        for key, value in {
            "train_losses": 1.0,
            "val_losses": 1.0,
            "mean_fg_dice": 0.0,
            "dice_per_class_or_region": values,
        }.items():
            trainer.logger.log(key, value, trainer.current_epoch)
        trainer.on_epoch_end()
    with open(trainer.log_file) as log:
        return log.read()


@pytest.fixture(autouse=True)
def _no_plot(monkeypatch):
    monkeypatch.setattr("nnunetv2.training.logging.nnunet_logger.LocalLogger.plot_progress_png", lambda *_: None)


def test_is_said_once_in_a_while_and_what_to_do(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEAB_25epochs", tmp_path, monkeypatch)
    log = train(trainer, [[0.5, 0.5]] + [[0.0, 0.0]] * 11)
    assert log.count("WARNING: the pseudo Dice has been 0 for every class") == 2
    assert "for 5 epochs. The network predicts background only. Stop this run and check that a label" in log
    assert "for 10 epochs" in log


def test_dice_alone_is_to_blame(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEABDiceLoss_25epochs", tmp_path, monkeypatch)
    assert "Dice alone has collapsed to background" in train(trainer, [[0.0, 0.0]] * 5)


def test_a_training_that_learns_is_left_alone(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEAB_25epochs", tmp_path, monkeypatch)
    assert "WARNING" not in train(trainer, [[0.0, 0.01]] * 12)

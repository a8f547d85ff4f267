import pytest
import torch
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss

from nnunetv2_ext.trainers.losses import compound_loss
from tests.trainers.runs import LABELS, REGIONS, batch, make_trainer


def soft_dice(probabilities: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Written out from the definition: 2 intersection / (sum + sum) per sample and class, smoothed by 1e-5."""
    axes = tuple(range(2, target.dim()))
    together = (probabilities * target * valid).sum(axes)
    return ((2 * together + 1e-5) / ((probabilities * valid).sum(axes) + (target * valid).sum(axes) + 1e-5)).mean()


def test_dice_alone_is_the_dice_of_the_foreground(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGEDiceLoss", tmp_path, monkeypatch)
    trainer.initialize()
    target = batch(trainer)["target"][0]
    logits = torch.randn(2, 3, *target.shape[2:])
    one_hot = torch.nn.functional.one_hot(target[:, 0].long(), 3).movedim(-1, 1).float()
    expected = -soft_dice(logits.softmax(1)[:, 1:], one_hot[:, 1:], torch.ones_like(target))
    torch.testing.assert_close(compound_loss(trainer.loss)(logits, target), expected)


def test_dice_alone_honours_the_ignore_label(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGEDiceLoss", tmp_path, monkeypatch, labels={**LABELS, "ignore": 3})
    trainer.initialize()
    target = batch(trainer, ignore=3)["target"][0]
    logits = torch.randn(2, 3, *target.shape[2:], requires_grad=True)
    valid = (target != 3).float()
    one_hot = torch.nn.functional.one_hot((target * valid)[:, 0].long(), 3).movedim(-1, 1).float()
    loss = compound_loss(trainer.loss)(logits, target)
    torch.testing.assert_close(loss, -soft_dice(logits.softmax(1)[:, 1:], one_hot[:, 1:], valid))
    loss.backward()
    assert logits.grad[:, :, :3].abs().max() == 0
    assert logits.grad[:, :, 3:].abs().max() > 0
    assert trainer.train_step(batch(trainer, ignore=3))["loss"] < 0


def test_regions_and_the_ignore_label_together(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGEDiceLoss", tmp_path, monkeypatch, labels=REGIONS)
    trainer.initialize()
    assert isinstance(compound_loss(trainer.loss), DC_and_BCE_loss)
    target = batch(trainer)["target"][0]
    logits = torch.randn(target.shape)
    expected = -soft_dice(logits.sigmoid(), target.float(), torch.ones_like(target[:, :1]).float())
    torch.testing.assert_close(compound_loss(trainer.loss)(logits, target), expected)


@pytest.mark.parametrize(("epoch", "weight"), [(0, 1), (1, 1), (2, 0), (19, 0)])
def test_cross_entropy_hands_over_by_epoch(epoch, weight, tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGECEThenDiceLoss_20epochs", tmp_path, monkeypatch)
    trainer.initialize()
    assert isinstance(compound_loss(trainer.loss), DC_and_CE_loss)
    trainer.current_epoch = epoch
    trainer.logger.log = lambda *_: None  # the host's logger wants every epoch before this one
    trainer.on_train_epoch_start()
    assert compound_loss(trainer.loss).weight_ce == weight

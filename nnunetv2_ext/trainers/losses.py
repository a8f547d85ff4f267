"""Losses in place of nnU-Net's sum of Dice and cross-entropy."""

from typing import Any

from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import nn


def compound_loss(loss: nn.Module) -> Any:
    """nnU-Net's Dice and cross-entropy, inside its deep supervision or not."""
    return loss.loss if isinstance(loss, DeepSupervisionWrapper) else loss


class DiceLossMixin(nnUNetTrainer):
    """Dice alone: nnU-Net's compound loss with no weight on the cross-entropy.

    Unlike the stock nnUNetTrainerDiceLoss it thereby honours the ignore label, and has the base class's handling of distributed
    training. Dice alone collapses easily; CEThenDiceLoss is the safer start.
    """

    def _build_loss(self) -> nn.Module:
        loss = super()._build_loss()
        compound_loss(loss).weight_ce = 0
        return loss


class CEThenDiceLossMixin(nnUNetTrainer):
    """Dice and cross-entropy for the first tenth of the epochs (at least one), then Dice alone.

    Which of the two is in force follows from the epoch, so a continued training takes up where it was.
    """

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        compound_loss(self.loss).weight_ce = int(self.current_epoch < max(1, self.num_epochs // 10))

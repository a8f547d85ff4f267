"""Learning rate schedules in place of nnU-Net's polynomial decay.

nnU-Net calls ``lr_scheduler.step(epoch)`` at the start of each epoch, so a schedule follows from the epoch alone and a
continued training takes up where it was.
"""

from functools import partial
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

WARM_UP_SHARE = 0.05


def warm_up_then_polynomial(epoch: int, *, epochs: int) -> float:
    """The share of the initial learning rate: linear over the first twentieth of the epochs, then nnU-Net's decay."""
    warm_up = max(1, round(WARM_UP_SHARE * epochs))
    if epoch < warm_up:
        return (epoch + 1) / (warm_up + 1)
    return (1 - (epoch - warm_up) / max(1, epochs - warm_up)) ** 0.9


class WarmUpMixin(nnUNetTrainer):
    """Linear warm-up over the first twentieth of the epochs (50 of 1000), then polynomial decay, for attention networks."""

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        optimizer, _ = super().configure_optimizers()
        return optimizer, LambdaLR(optimizer, partial(warm_up_then_polynomial, epochs=self.num_epochs))


class OscillatingCosineMixin(nnUNetTrainer):
    """EGE-UNet's schedule: cosine annealing to 1e-5 and back, five half periods in a training.

    The authors have a half period of 50 of their 300 epochs, so that they end at the highest learning rate and keep the epoch
    that validated best. nnU-Net keeps the last epoch, so ours is made to end at the lowest: 250 epochs of five half periods,
    or in proportion.
    """

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        optimizer, _ = super().configure_optimizers()
        return optimizer, CosineAnnealingLR(optimizer, T_max=max(1, self.num_epochs / 5), eta_min=1e-5)

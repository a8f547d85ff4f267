"""Freezes the gates of the Medical Transformer for the first epochs."""

from typing import Any, cast

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_ext.architectures.medical_transformer.network import MedicalTransformer
from nnunetv2_ext.trainers.networks import unwrapped


class GatesMixin(nnUNetTrainer):
    """Trains the gates of gated axial attention from the eleventh epoch on, as the authors do (arXiv 2102.10662).

    They are in the optimizer from the start. While they are frozen the network gives them a gradient of zero, which is what
    distributed training needs, but a zero isn't enough to keep them: weight decay and momentum move a parameter that has one.
    So right before each step of the optimizer the zero is taken away, and every optimizer leaves a parameter without gradient
    alone, its moments and its count of steps too.

    Whether they are frozen follows from the epoch, so a continued training takes up where it was.
    """

    epochs_with_frozen_gates = 10

    @property
    def medical_transformer(self) -> MedicalTransformer:
        """The network itself, inside of what nnU-Net wraps it in."""
        return cast(MedicalTransformer, unwrapped(self.network))

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        optimizer, scheduler = super().configure_optimizers()
        optimizer.register_step_pre_hook(self._withhold_gradients)
        return optimizer, scheduler

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.medical_transformer.gates_frozen = self.current_epoch < self.epochs_with_frozen_gates

    def _withhold_gradients(self, *_: Any) -> None:
        if self.current_epoch < self.epochs_with_frozen_gates:  # gates_frozen walks through the network
            for gate in self.medical_transformer.gates():
                gate.grad = None

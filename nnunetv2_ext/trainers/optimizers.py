"""Optimizers in place of nnU-Net's SGD."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class AdanMixin(nnUNetTrainer):
    """Adan (arXiv 2208.06677) with the settings of nnU-Net's nnUNetTrainerAdan: learning rate 1e-2, polynomial decay."""

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        from nnunetv2_ext.trainers.adan import Adan  # here, because timm takes seconds to import

        optimizer = Adan(self.network.parameters(), lr=self.initial_lr, weight_decay=self.weight_decay)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs)


class AdamWMixin(nnUNetTrainer):
    """AdamW (arXiv 1711.05101) with polynomial decay.

    The learning rate is what nnU-Net's maintainers use AdamW with for attention networks (1e-4 to 3e-4); the weight decay is
    AdamW's own default, since it acts apart from the gradient and nnU-Net's 3e-5 is meant for SGD.
    """

    hyperparameters: ClassVar[Mapping[str, Any]] = {"initial_lr": 3e-4, "weight_decay": 1e-2}

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=self.initial_lr, weight_decay=self.weight_decay)
        optimizer.register_load_state_dict_post_hook(_step_counts_to_cpu)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs)


def _step_counts_to_cpu(optimizer: torch.optim.Optimizer) -> None:
    """To where AdamW makes them: nnU-Net loads them to the GPU, from which AdamW would fetch each of them in every step."""
    for state in optimizer.state.values():
        if isinstance(state.get("step"), torch.Tensor):
            state["step"] = state["step"].cpu()


class EGEUNetAdamWMixin(AdamWMixin):
    """AdamW with the learning rate and weight decay that EGE-UNet's authors train with."""

    hyperparameters: ClassVar[Mapping[str, Any]] = {"initial_lr": 1e-3, "weight_decay": 1e-2}

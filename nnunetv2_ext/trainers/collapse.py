"""Warns in the log when a training has stopped learning: a Dice of 0 on every class for many epochs."""

import math
from collections.abc import Sequence

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_ext.trainers.losses import compound_loss


class CollapseMixin(nnUNetTrainer):
    """Warns when the pseudo Dice of every class has been 0 for a fifth of the training, at least 5 and at most 20 epochs."""

    def on_epoch_end(self) -> None:
        super().on_epoch_end()
        patience = max(5, min(20, self.num_epochs // 5))
        epochs = epochs_of_zeros(self.logger.get_value("dice_per_class_or_region", step=None))
        if epochs and epochs % patience == 0:
            self.print_to_log_file(f"WARNING: the pseudo Dice has been 0 for every class for {epochs} epochs. {self._advice()}")

    def _advice(self) -> str:
        if getattr(compound_loss(self.loss), "weight_ce", 1) == 0:
            return (
                "Dice alone has collapsed to background, from which it does not recover: stop this run and train without the "
                "suffix for the loss, which is with cross-entropy."
            )
        return (
            "The network predicts background only. Stop this run and check that a label and its image lie on top of each other "
            "in a viewer, and that dataset.json names the labels as the files have them; if they do, train with a lower "
            "learning rate, which a suffix such as _lr1e-4 sets."
        )


def epochs_of_zeros(history: Sequence[Sequence[float]]) -> int:
    """For how many of the last epochs the Dice was 0 for every class that occurred; NaN is of a class that didn't."""
    count = 0
    for dice in reversed(history):
        occurring = [value for value in dice if not math.isnan(value)]
        if any(occurring) or not occurring:
            break
        count += 1
    return count

"""Stops a training whose loss is NaN or infinite, instead of letting it run on for days."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_ext.errors import NonFiniteError
from nnunetv2_ext.trainers.checkpoints import read_checkpoints
from nnunetv2_ext.trainers.networks import unwrapped

TOLERATED_STEPS = 5
"""in a row, in mixed precision, where activations may overflow while the gradient scaler keeps the weights finite"""

SMALLEST_SCALE = 1e-4
"""of the gradient scaler, as in fairseq: it starts at 65536 and is halved by each step whose gradients overflow"""

_CURE = "If that happens again, train anew with a lower learning rate, which a suffix such as _lr1e-4 sets."


class NonFiniteMixin(nnUNetTrainer):
    """Stops the training when its loss is no longer finite, and says when and on which cases.

    In float32 the first such loss means that the weights are lost. In mixed precision the gradient scaler skips the step, so
    the training is only stopped after more than five of them in a row, or when the scaler has skipped so many that no step has
    an effect any more. Running statistics, which the scaler doesn't protect, are put back. An image that isn't finite stops the
    training at once. Validation counts as well: it is where the last step of an epoch shows, and it comes before the epoch's
    checkpoint. So each checkpoint that is written has weights that gave finite losses.

    nnU-Net copies every loss from the GPU anyway; looking at it costs no further synchronisation.
    """

    def initialize(self) -> None:
        super().initialize()
        scaled = self.grad_scaler is not None and self.grad_scaler.is_enabled()
        tolerated = TOLERATED_STEPS if scaled else 0
        buffers = unwrapped(self.network).buffers() if scaled else ()
        self._statistics = [buffer for buffer in buffers if buffer.is_floating_point()]
        self._statistics_before = [buffer.clone() for buffer in self._statistics]
        self._training_losses = LossWatch("training", self.num_iterations_per_epoch, tolerated)
        iterations = self.num_val_iterations_per_epoch
        self._validation_losses = LossWatch("validation", iterations, min(tolerated, iterations - 1))

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self._training_losses.iteration = 0

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        if self._statistics:
            torch._foreach_copy_(self._statistics_before, self._statistics)
        outputs = super().train_step(batch)
        if self._statistics and not np.isfinite(outputs["loss"]):
            torch._foreach_copy_(self._statistics, self._statistics_before)
        self._stop_if(self._training_losses.problem(outputs["loss"], batch))
        return outputs

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        super().on_train_epoch_end(train_outputs)
        if self.grad_scaler is not None and self.grad_scaler.is_enabled():
            scale = self.grad_scaler.get_scale()
            if scale < SMALLEST_SCALE:
                self._stop_if(
                    f"the gradients overflow in every step, although the gradient scaler has come down to {scale:.0e}: the "
                    f"weights no longer change. {_CURE}"
                )

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self._validation_losses.iteration = self._validation_losses.in_a_row = 0

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        outputs = super().validation_step(batch)
        self._stop_if(self._validation_losses.problem(outputs["loss"], batch))
        return outputs

    def _stop_if(self, problem: str | None) -> None:
        if problem is None:
            return
        whole, _ = read_checkpoints(self.output_folder)
        raise NonFiniteError(
            f"Training stopped in epoch {self.current_epoch}: {problem} "
            + (
                f"The last good checkpoint is {whole[0].path}, written after {whole[0].epochs} epochs; --c continues from it."
                if whole
                else "No checkpoint had been written yet."
            )
        )


class LossWatch:
    """Counts the losses in a row that are not finite.

    Args:
        phase: ``"training"`` or ``"validation"``, for the message.
        iterations: per epoch.
        tolerated: how many in a row are no problem yet.
    """

    def __init__(self, phase: str, iterations: int, tolerated: int) -> None:
        self.phase, self.iterations, self.tolerated = phase, iterations, tolerated
        self.iteration = self.in_a_row = 0

    def problem(self, loss: Any, batch: Mapping[str, Any]) -> str | None:
        """What is wrong, in a sentence for the user, with the loss of the next iteration; None if nothing is."""
        self.iteration += 1
        if np.isfinite(loss):
            self.in_a_row = 0
            return None
        self.in_a_row += 1
        largest = torch.finfo(torch.float16 if self.tolerated else torch.float32).max
        bad = _bad_cases(batch, largest)
        if self.in_a_row <= self.tolerated and not bad:
            return None
        before = f", as in the {self.tolerated} iterations before" if 0 < self.tolerated < self.in_a_row else ""
        cases = ", ".join(map(str, batch["keys"]))
        cause = (
            f"After preprocessing, {', '.join(bad)} has voxels that are NaN, infinite or beyond {largest:.5g}, the largest "
            "number of this precision: repair the image, or choose a normalization, and preprocess again."
            if bad
            else f"Their images are finite, so it is the network that diverged. {_CURE}"
        )
        return (
            f"the loss is {loss} in {self.phase} iteration {self.iteration} of {self.iterations}{before}. The cases in the "
            f"batch are {cases}. {cause}"
        )


def _bad_cases(batch: Mapping[str, Any], largest: float) -> list[str]:
    """Those whose images have values that are no numbers, or too large ones."""
    pairs = zip(batch["keys"], batch["data"], strict=True)
    return sorted({str(case) for case, image in pairs if not (image.abs() <= largest).all()})

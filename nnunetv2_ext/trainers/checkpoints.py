"""Checkpoints that survive a crash: written whole or not at all, and a training continues from the newest whole one."""

import math
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import distributed

from nnunetv2_ext.errors import CheckpointError, CombinationError, RunExistsError, UnknownTrainerError
from nnunetv2_ext.trainers.atomic_write import atomic_write, disk_errors, part_of
from nnunetv2_ext.trainers.names import parse

CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_latest.pth", "checkpoint_best.pth")


@dataclass(frozen=True)
class Checkpoint:
    """What a whole checkpoint says about itself."""

    path: Path
    trainer: str
    epochs: int
    """how many were done when it was written"""
    best_dice: float
    """the best moving average of the pseudo Dice so far, by which nnU-Net decides whether to write checkpoint_best.pth"""


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Checks the whole file against its checksums and reads what it says about itself. Its weights stay on the disk.

    Raises:
        CheckpointError: if the file is damaged or no checkpoint; the message is the reason alone.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise CheckpointError(f"checksum of {damaged} is wrong")
        content = torch.load(path, map_location="cpu", weights_only=False, mmap=True)
        best = content["_best_ema"]
        best = -math.inf if best is None or math.isnan(best) else best
        return Checkpoint(Path(path), content["trainer_name"], content["current_epoch"], best)
    except CheckpointError:
        raise
    except Exception as error:  # whatever unpickling a damaged file raises
        raise CheckpointError(f"{type(error).__name__}: {error}") from error


def read_checkpoints(folder: str | Path) -> tuple[list[Checkpoint], dict[str, str]]:
    """The whole checkpoints of a fold, newest first, and the names of the damaged ones with the reason.

    Of two of the same epoch the better one is first: nnU-Net writes checkpoint_latest.pth before it decides whether the epoch
    was the best so far, and a training that continued from it would overwrite checkpoint_best.pth with a worse one.
    """
    whole, damaged = [], {}
    for name in CHECKPOINTS:
        path = Path(folder, name)
        if path.is_file():
            try:
                whole.append(read_checkpoint(path))
            except CheckpointError as error:
                damaged[name] = str(error)
    return sorted(whole, key=lambda checkpoint: (checkpoint.epochs, checkpoint.best_dice), reverse=True), damaged


class CheckpointsMixin(nnUNetTrainer):
    """Writes checkpoints whole or not at all, never over those of another run, and continues from the newest whole one."""

    def on_train_start(self) -> None:
        self._refuse_to_overwrite()
        with disk_errors(self.output_folder):
            super().on_train_start()
        if self.local_rank == 0:
            for name in CHECKPOINTS:  # of a training that was killed while it wrote
                part_of(Path(self.output_folder, name)).unlink(missing_ok=True)
            # The scores of a run that is continued are those of its earlier weights; the validation writes new ones.
            Path(self.output_folder, "validation", "summary.json").unlink(missing_ok=True)

    def on_epoch_end(self) -> None:
        with disk_errors(self.output_folder):  # nnU-Net also writes a plot
            super().on_epoch_end()

    def on_train_end(self) -> None:
        with disk_errors(self.output_folder):
            super().on_train_end()
        if self.is_ddp:  # nobody loads checkpoint_best.pth for --val_best before the first process has written it
            distributed.barrier()

    def _refuse_to_overwrite(self) -> None:
        present = [name for name in CHECKPOINTS if Path(self.output_folder, name).is_file()]
        if present and not self.logger.resume:
            raise RunExistsError(
                f"{self.output_folder} already holds a run ({', '.join(present)}), which a new training would overwrite. Add "
                "--c to continue it (or --val to validate a finished one), or move the folder away to start afresh."
            )
        if present and self.disable_checkpointing:
            raise RunExistsError(
                f"{self.output_folder} would lose checkpoint_latest.pth, which nnU-Net removes at the end of a training, also "
                "of one that writes no checkpoint. Leave out --disable_checkpointing, or copy the folder first."
            )

    def save_checkpoint(self, filename: str) -> None:
        """As in nnU-Net, but whatever happens meanwhile, the file is either the old checkpoint or the new one.

        Raises:
            DiskError: if the disk is full or can't be written to.
        """
        if self.local_rank != 0 or self.disable_checkpointing:
            super().save_checkpoint(filename)
            return
        with atomic_write(filename) as file:
            super().save_checkpoint(file)

    def load_checkpoint(self, filename_or_checkpoint: str) -> None:
        """As in nnU-Net, but a training that is continued takes the newest whole checkpoint of its folder.

        nnU-Net takes checkpoint_final.pth, else checkpoint_latest.pth, else checkpoint_best.pth, though any of them may be the
        newest. The run may also be a shorter one of the same preset, optimizer and loss.

        Raises:
            CheckpointError: if the file is damaged, or every one that there is to continue from, or another trainer's.
        """
        super().load_checkpoint(str(self.checkpoint_to_load(filename_or_checkpoint).path))

    def checkpoint_to_load(self, filename: str) -> Checkpoint:
        """The one that a file name stands for, whole and of this trainer."""
        path = Path(filename)
        # Later in a run that was continued, --val_best loads exactly the file that it names.
        continues = self.logger.resume and self.dataloader_train is None
        if continues and path.name in CHECKPOINTS and path.parent == Path(self.output_folder):
            checkpoint = self._newest()
        else:
            try:
                checkpoint = read_checkpoint(path)
            except CheckpointError as error:
                raise CheckpointError(
                    f"{path} can't be read as a checkpoint ({error}). If the file is damaged, nnUNetv2_train with --c "
                    "continues from the newest whole checkpoint beside it."
                ) from error
        self._refuse_other_run(checkpoint)
        return checkpoint

    def _newest(self) -> Checkpoint:
        whole, damaged = read_checkpoints(self.output_folder)
        reasons = ", ".join(f"{name} ({reason})" for name, reason in damaged.items())
        if not whole:
            raise CheckpointError(
                f"there is no whole checkpoint to continue from in {self.output_folder}; damaged: {reasons}. Copy one from a "
                "backup into the folder, or move the folder away and start afresh without --c."
            )
        newest, *older = whole
        others = ", ".join(f"{checkpoint.path.name}: {checkpoint.epochs}" for checkpoint in older)
        self.print_to_log_file(
            f"Continuing from {newest.path.name}, the newest whole checkpoint, written after {newest.epochs} epochs"
            + (f" ({others})." if others else ".")
            + (f" Skipped as damaged: {reasons}." if damaged else "")
        )
        return newest

    def _refuse_other_run(self, checkpoint: Checkpoint) -> None:
        written, own = checkpoint.trainer, type(self).__name__
        if written == own:
            return
        if not same_recipe(written, own):
            raise CheckpointError(
                f"{checkpoint.path} was written by {written}, this is {own}: train with -tr {written}, or start from its "
                "weights in a new run with -pretrained_weights."
            )
        if checkpoint.epochs > self.num_epochs:
            raise CheckpointError(
                f"{checkpoint.path} was written by {written} after {checkpoint.epochs} epochs, more than the {self.num_epochs} "
                f"of {own}: a run can be continued with more epochs than it had, not with fewer."
            )
        self.print_to_log_file(
            f"{checkpoint.path.name} is of {written}: {checkpoint.epochs} of the {self.num_epochs} epochs of {own} are done. "
            "The learning rate goes on as if the run had been that long from the start."
        )


def same_recipe(one: str, other: str) -> bool:
    """Whether two trainers of ours differ in nothing but the length of the training."""

    def recipe(name: str) -> Any:
        return replace(parse(name), name="", epochs=None, iterations=None)

    try:
        return recipe(one) == recipe(other)
    except (UnknownTrainerError, CombinationError):
        return False

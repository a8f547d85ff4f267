"""What all of our trainers share, on top of the host's nnUNetTrainer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn

from nnunetv2_ext.errors import CheckpointError, DatasetError, RunExistsError
from nnunetv2_ext.trainers.networks import build_network
from nnunetv2_ext.trainers.run_card import RunCardMixin

CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_latest.pth", "checkpoint_best.pth")


class ExtensionTrainer(RunCardMixin):
    """The host's trainer with a preset's network.

    A trainer is a subclass of this and of mixins, each of which overrides one hook of the host and calls super(). A class among
    them may set ``hyperparameters``, attributes that the host's constructor sets; they are applied after it, base class first.
    """

    hyperparameters: ClassVar[Mapping[str, Any]] = {}

    # The host reads the names of these five arguments out of its own constructor's variables, so they can't be others.
    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.stock_values = {}
        for name, value in self._all_hyperparameters().items():
            self.stock_values[name] = getattr(self, name)
            setattr(self, name, value)
        if "region_based" in self.preset.plan_facts and self.label_manager.has_regions:
            # Whoever builds the network for prediction has the plan beside the checkpoint, but not the labels.
            self.configuration_manager.configuration["region_based"] = True
            self.plans_manager.plans["configurations"][configuration]["region_based"] = True

    @classmethod
    def _all_hyperparameters(cls) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for ancestor in reversed(cls.__mro__):
            merged.update(vars(ancestor).get("hyperparameters", {}))
        return merged

    @classmethod
    def build_network_architecture(
        cls,
        plans_manager: PlansManager,  # noqa: ARG003
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        return build_network(
            cls.preset,
            configuration_manager,
            num_input_channels,
            num_output_channels,
            deep_supervision=enable_deep_supervision,
        )

    def on_train_start(self) -> None:
        self._refuse_to_overwrite()
        super().on_train_start()

    def _refuse_to_overwrite(self) -> None:
        found = [name for name in CHECKPOINTS if Path(self.output_folder, name).is_file()]
        if found and not self.logger.resume:
            raise RunExistsError(
                f"{self.output_folder} already holds a run ({', '.join(found)}), which a new training would overwrite. Add --c "
                "to continue it (or --val to validate a finished one), or move the folder away to start afresh."
            )

    def get_tr_and_val_datasets(self) -> tuple[Any, Any]:
        """As in the host, but a cascade without its first stage is refused, on which the loaders die in the background.

        Raises:
            DatasetError: if it is.
        """
        datasets = super().get_tr_and_val_datasets()
        if self.is_cascaded:
            folder, previous = Path(self.folder_with_segs_from_previous_stage), self.configuration_manager.previous_stage_name
            predicted = {path.stem for path in folder.glob("*")}
            missing = sorted({name for dataset in datasets for name in dataset.identifiers} - predicted)
            if missing:
                raise DatasetError(
                    f"{self.configuration_name} starts from what {type(self).__name__} predicted in {previous}, and {folder} "
                    f"lacks {len(missing)} cases, {missing[0]} for one. Train all folds of {previous} with this trainer first; "
                    "each writes the predictions of its validation cases."
                )
        return datasets

    def load_checkpoint(self, filename_or_checkpoint: str) -> None:
        """As in the host, but a checkpoint that is corrupt or another trainer's is refused in one sentence.

        Raises:
            CheckpointError: if it is.
        """
        try:
            # mapped, not read: the host reads it again
            checkpoint = torch.load(filename_or_checkpoint, map_location="cpu", weights_only=False, mmap=True)
            trainer = checkpoint["trainer_name"]
        except Exception as error:
            raise CheckpointError(
                f"{filename_or_checkpoint} can't be read as a checkpoint ({type(error).__name__}: {error}). If the file is "
                "damaged, move it away and continue with --c from checkpoint_latest.pth or checkpoint_best.pth beside it."
            ) from error
        if trainer != type(self).__name__:
            raise CheckpointError(
                f"{filename_or_checkpoint} was written by {trainer}, this is {type(self).__name__}: train with -tr {trainer}, "
                "or start from its weights in a new run with -pretrained_weights."
            )
        super().load_checkpoint(filename_or_checkpoint)

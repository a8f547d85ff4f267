"""What all of our trainers share, on top of the host's nnUNetTrainer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn

from nnunetv2_ext.errors import DatasetError
from nnunetv2_ext.trainers.checkpoints import CheckpointsMixin
from nnunetv2_ext.trainers.collapse import CollapseMixin
from nnunetv2_ext.trainers.networks import build_network
from nnunetv2_ext.trainers.non_finite import NonFiniteMixin
from nnunetv2_ext.trainers.pretrained import PretrainedWeightsMixin
from nnunetv2_ext.trainers.run_card import RunCardMixin


class ExtensionTrainer(CheckpointsMixin, PretrainedWeightsMixin, NonFiniteMixin, CollapseMixin, RunCardMixin):
    """nnU-Net's trainer with a preset's network, and what keeps a long training safe.

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

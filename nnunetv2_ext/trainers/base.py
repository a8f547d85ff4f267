"""What all of our trainers share, on top of nnU-Net's nnUNetTrainer."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, ClassVar

import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn

from nnunetv2_ext.errors import PresetError
from nnunetv2_ext.trainers.checkpoints import CheckpointsMixin
from nnunetv2_ext.trainers.collapse import CollapseMixin
from nnunetv2_ext.trainers.data_checks import DataChecksMixin, check_arguments
from nnunetv2_ext.trainers.networks import build_network
from nnunetv2_ext.trainers.non_finite import NonFiniteMixin
from nnunetv2_ext.trainers.pretrained import PretrainedWeightsMixin
from nnunetv2_ext.trainers.run_card import RunCardMixin

HYPERPARAMETERS = (
    "initial_lr",
    "weight_decay",
    "oversample_foreground_percent",
    "probabilistic_oversampling",
    "num_iterations_per_epoch",
    "num_val_iterations_per_epoch",
    "num_epochs",
    "enable_deep_supervision",
    "save_every",
)
"""what nnU-Net's constructor sets and a recipe, a variant of nnU-Net's or a number in a trainer's name may change"""


class ExtensionTrainer(DataChecksMixin, CheckpointsMixin, PretrainedWeightsMixin, NonFiniteMixin, CollapseMixin, RunCardMixin):
    """nnU-Net's trainer with a preset's network, and what keeps a long training safe.

    A trainer is a subclass of this and of mixins, each of which overrides one hook of nnU-Net and calls super(). A class among
    them may set ``hyperparameters``, attributes that nnU-Net's constructor sets; they are applied after it, base class first.
    """

    hyperparameters: ClassVar[Mapping[str, Any]] = {}
    numbers: ClassVar[Mapping[str, Any]] = {}
    """those of the hyperparameters that the trainer's name says"""
    batch_size_in_name: ClassVar[int | None] = None

    # nnU-Net reads the names of these five arguments out of its own constructor's variables, so they can't be others.
    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008
    ) -> None:
        check_arguments(type(self).__name__, plans, configuration, fold, dataset_json)
        # A copy: nnU-Net takes continue_training out of it, and numbers in our names go into it.
        plans = {"continue_training": False, **deepcopy(plans)}
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.stock_values = {name: getattr(self, name) for name in HYPERPARAMETERS}
        hyperparameters = self._all_hyperparameters()
        if unknown := sorted(name for name in hyperparameters if not hasattr(self, name)):
            raise PresetError(
                f"{self.preset.origin}: preset {self.preset.name} sets {', '.join(unknown)}, which nnUNetTrainer doesn't have; "
                f"it has {', '.join(HYPERPARAMETERS)}, for instance"
            )
        for name, value in hyperparameters.items():
            self.stock_values.setdefault(name, getattr(self, name))
            setattr(self, name, value)
        if self.batch_size_in_name is not None:
            self.stock_values["batch_size"] = self.configuration_manager.batch_size
            self._write_into_plan("batch_size", self.batch_size_in_name)
        if "region_based" in self.preset.plan_facts and self.label_manager.has_regions:
            # Whoever builds the network for prediction has the plan beside the checkpoint, but not the labels.
            self._write_into_plan("region_based", True)

    def _write_into_plan(self, name: str, value: Any) -> None:
        """Into the plan in use and into the one that is saved beside the checkpoint."""
        self.configuration_manager.configuration[name] = value
        self.plans_manager.plans["configurations"][self.configuration_name][name] = value

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

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        if self.is_ddp:
            # Validation alone (--val) begins with a forward in which all processes would bring the buffers of BatchNorm to
            # the first one's values. A process without a case has no forward, and the others would wait for it. All have
            # loaded the same checkpoint, so there is nothing to bring.
            self.network.require_forward_param_sync = False
        super().perform_actual_validation(save_probabilities)

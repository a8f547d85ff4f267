"""What is profiled: a configuration of a dataset's plans, or a patch given by hand."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn

from nnunetv2_ext.datasets import dataset_name, read_json, read_plans
from nnunetv2_ext.descriptions.dataset_json import check_dataset_json
from nnunetv2_ext.descriptions.plans_json import check_plans
from nnunetv2_ext.errors import PlanError
from nnunetv2_ext.planning.stock import stock_architecture
from nnunetv2_ext.trainers.networks import network_of_trainer
from nnunetv2_ext.trainers.resolve import any_trainer_class

# what nnU-Net's planner plans a U-Net with, in its constructor
SMALLEST_EDGE = 4
BASE_FEATURES = 32
MAX_FEATURES = {2: 512, 3: 320}


@dataclass(frozen=True)
class Case:
    """A configuration, and the channels and classes that a network has on it."""

    name: str
    configuration: ConfigurationManager
    input_channels: int
    output_channels: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of a batch."""
        return (self.configuration.batch_size, self.input_channels, *self.configuration.patch_size)

    def for_trainer(self, trainer: str) -> "Case":
        """The same with the batch size in the trainer's name (``_bs2``), if it has one.

        Raises:
            UnknownTrainerError: if there is no such trainer.
        """
        batch_size = getattr(any_trainer_class(trainer), "batch_size_in_name", None)
        if batch_size is None:
            return self
        return replace(self, configuration=ConfigurationManager({**self.configuration.configuration, "batch_size": batch_size}))

    def network(self, trainer: str) -> nn.Module:
        """The network that the trainer trains, with deep supervision.

        Raises:
            UnknownTrainerError: if there is no such trainer.
            PlanError: if its network can't be built from this plan.
        """
        configuration = deepcopy(self.configuration)  # the stock nnUNetTrainerBN writes its norm into what it gets
        channels = self.input_channels, self.output_channels
        return network_of_trainer(any_trainer_class(trainer), PlansManager({}), configuration, *channels, deep_supervision=True)


def case_of_dataset(dataset: str, configuration: str, plans_name: str) -> Case:
    """A configuration of a dataset's plans.

    Raises:
        DatasetError: if there is no such dataset or plans file, or one of its files can't be read.
        PlanError: if the plans have no such configuration, or it lacks something.
    """
    name = dataset_name(dataset)
    content = read_plans(name, plans_name)
    check_plans(content, configuration)
    plans = PlansManager(content)
    labels = read_json(name, "dataset.json", "Run nnUNetv2_plan_and_preprocess.")
    check_dataset_json(labels)
    label_manager = plans.get_label_manager(labels)
    manager = plans.get_configuration(configuration)
    manager.configuration["region_based"] = label_manager.has_regions
    channels = determine_num_input_channels(plans, manager, labels)
    return Case(f"{name} {configuration} {plans_name}", manager, channels, label_manager.num_segmentation_heads)


def case_of_patch(patch: Sequence[int], *, channels: int, classes: int, batch_size: int) -> Case:
    """A patch given by hand, with the stages that nnU-Net's rule gives it at a spacing that is the same on every axis.

    Raises:
        PlanError: if it has neither two nor three axes, or nnU-Net's rule would pad it.
    """
    dimensions = len(patch)
    if dimensions not in MAX_FEATURES:
        raise PlanError(f"got a patch with {dimensions} axes, need 2 or 3")
    _, strides, kernels, fitting, _ = get_pool_and_conv_props([1.0] * dimensions, patch, SMALLEST_EDGE, 999999)
    if list(fitting) != list(patch):
        raise PlanError(f"got a patch of {list(patch)}, which nnU-Net would pad: use {[int(size) for size in fitting]}")
    features = [min(BASE_FEATURES * 2**stage, MAX_FEATURES[dimensions]) for stage in range(len(strides))]
    architecture = stock_architecture(features, strides=strides, kernel_sizes=kernels)
    configuration = {"patch_size": list(patch), "batch_size": batch_size, "architecture": architecture}
    return Case(f"patch of {' x '.join(map(str, patch))}", ConfigurationManager(configuration), channels, classes)

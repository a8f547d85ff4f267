"""What is profiled."""

import pytest
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from torch import nn

from nnunetv2_ext.errors import DatasetError, PlanError
from nnunetv2_ext.profiling import case
from nnunetv2_ext.profiling.case import case_of_dataset, case_of_patch


@pytest.mark.parametrize(("patch", "stages"), [([64, 64, 64], 5), ([128, 128, 128], 6), ([512, 512], 8), ([16, 64, 64], 5)])
def test_a_patch_gets_the_stages_of_the_hosts_rule(patch, stages):
    made = case_of_patch(patch, channels=2, classes=3, batch_size=4)
    assert made.input_shape == (4, 2, *patch)
    assert made.configuration.network_arch_init_kwargs["n_stages"] == stages


@pytest.mark.parametrize(("patch", "match"), [([64], "1 axes, need 2 or 3"), ([33, 64], r"nnU-Net would pad: use \[40, 64\]")])
def test_a_patch_that_the_host_would_not_plan_is_refused(patch, match):
    with pytest.raises(PlanError, match=match):
        case_of_patch(patch, channels=1, classes=2, batch_size=2)


def test_the_numbers_are_those_of_the_hosts_planner(dataset):
    planner = ExperimentPlanner(dataset.name)
    assert planner.UNet_featuremap_min_edge_length == case.SMALLEST_EDGE
    assert planner.UNet_base_num_features == case.BASE_FEATURES
    assert {2: planner.UNet_max_features_2d, 3: planner.UNet_max_features_3d} == case.MAX_FEATURES


def test_a_trainer_that_changes_what_it_gets_leaves_the_case_as_it_is():
    made = case_of_patch([16, 16], channels=1, classes=2, batch_size=2)
    assert any(isinstance(module, nn.BatchNorm2d) for module in made.network("nnUNetTrainerBN").modules())
    assert any(isinstance(module, nn.InstanceNorm2d) for module in made.network("nnUNetTrainer").modules())


def test_a_dataset_gives_channels_and_classes(dataset):
    dataset.plan_stock()
    made = case_of_dataset("7", "3d_fullres", "nnUNetPlans")
    assert (made.input_channels, made.output_channels) == (2, 3)
    assert len(made.input_shape) == 5


def test_what_is_not_there_is_said(dataset):
    with pytest.raises(DatasetError, match="Could not find a dataset with the ID 8"):
        case_of_dataset("8", "2d", "nnUNetPlans")
    with pytest.raises(DatasetError, match=r"nnUNetPlans.json doesn't exist"):
        case_of_dataset("7", "2d", "nnUNetPlans")
    dataset.plan_stock()
    with pytest.raises(PlanError, match="there is no configuration 3d_lowres, only 2d"):
        case_of_dataset("7", "3d_lowres", "nnUNetPlans")

"""From any stock plan to the arguments of our networks."""

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_ext.trainers.networks import network_of_trainer, plan_arguments
from tests.plans import CONFIGURATIONS, manager


def test_a_residual_encoder_plan_is_served():
    values = CONFIGURATIONS["2d"]["architecture"]["arch_kwargs"]
    residual = {**{k: v for k, v in values.items() if k != "n_conv_per_stage"}, "n_blocks_per_stage": [1, 3, 4, 6]}
    assert plan_arguments(residual) == {**values, "n_conv_per_stage": [2, 2, 2, 2]}


def test_what_a_plan_says_about_another_network_of_ours_is_left_out():
    values = CONFIGURATIONS["2d"]["architecture"]["arch_kwargs"]
    assert plan_arguments({**values, "mbtfe_stages": [0], "region_based": True}) == values


class OldTrainer(nnUNetTrainer):
    """As trainers were written before nnU-Net 2.8."""

    @staticmethod
    def build_network_architecture(name, arguments, imported, input_channels, output_channels, deep_supervision=True):
        return get_network_from_plans(
            name, arguments, imported, input_channels, output_channels, deep_supervision=deep_supervision
        )


def test_the_network_of_a_trainer_of_an_older_nnunet():
    old, new = (
        network_of_trainer(trainer, PlansManager({}), manager("2d"), 1, 3, deep_supervision=False)
        for trainer in (OldTrainer, nnUNetTrainer)
    )
    assert type(old) is type(new)
    assert [value.shape for value in old.state_dict().values()] == [value.shape for value in new.state_dict().values()]

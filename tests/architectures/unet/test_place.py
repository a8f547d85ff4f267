import pytest
from torch import nn

from nnunetv2_ext.architectures.unet.place import place
from nnunetv2_ext.errors import PlanError
from tests.plans import network


class Demanding(nn.Module):
    def __init__(self, channels: int) -> None:
        raise ValueError(f"{channels} channels are too few")


def test_says_which_block_can_t_be_built_from_what() -> None:
    message = "Demanding can't be built for stage 1 of this plan: ValueError: 8 channels are too few. It was given channels. "
    with pytest.raises(PlanError, match=message):
        place(Demanding, network("EGE", "2d").plan, [1], where="stages")

"""Networks on the meta device."""

import torch
from torch import nn

from nnunetv2_ext.memory.weightless import without_weights


class AsksForValues(nn.Module):
    """As MONAI's SwinUNETR, whose constructor turns a tensor of dropout rates into numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0, 0.5, 3)]
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(2, affine=False)
        self.register_buffer("nothing", None)


def test_a_constructor_may_ask_for_values() -> None:
    assert without_weights(AsksForValues).rates == [0, 0.25, 0.5]


def test_parameters_and_buffers_are_on_meta_and_those_that_are_shared_stay_so() -> None:
    network = without_weights(AsksForValues)
    assert all(tensor.is_meta for tensor in (*network.parameters(), *network.buffers()))
    assert network.first.weight is network.second.weight
    assert network.state_dict().keys() == AsksForValues().state_dict().keys()


def test_a_tensor_that_two_modules_get_from_outside_stays_one() -> None:
    def build() -> nn.Module:
        shared, network = nn.Parameter(torch.ones(2, 2)), nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        for layer in network:
            layer.weight = shared
        return network

    first, second = without_weights(build)  # type: ignore[misc]
    assert first.weight is second.weight


def test_what_is_built_afterwards_has_weights() -> None:
    without_weights(AsksForValues)
    assert not nn.Linear(2, 2).weight.is_meta

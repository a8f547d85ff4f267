"""Counting, against numbers that are worked out by hand or measured otherwise."""

import pytest
import torch
from torch import nn

from nnunetv2_ext.profiling.case import Case, case_of_patch
from nnunetv2_ext.profiling.count import count
from tests.plans import OUR_PRESETS


@pytest.fixture
def one_convolution(monkeypatch):
    """A network of one 3x3 convolution from 2 to 5 channels."""
    monkeypatch.setattr(Case, "network", lambda self, trainer: nn.Conv2d(2, 5, 3, padding=1, bias=False))  # noqa: ARG005
    return case_of_patch([16, 8], channels=2, classes=5, batch_size=4)


def test_operations_of_a_convolution(one_convolution):
    counts = count("any", one_convolution)
    macs = 16 * 8 * 5 * 2 * 9
    assert counts.parameters == 5 * 2 * 9
    assert counts.gmacs == pytest.approx(macs / 1e9)
    assert counts.gflops == pytest.approx(2 * macs / 1e9)
    assert counts.batch_gflops == pytest.approx(4 * 2 * macs / 1e9)


def test_memory_of_a_convolution(one_convolution):
    counts = count("any", one_convolution)
    output = 4 * 5 * 16 * 8 * 4
    assert counts.kept_bytes >= output
    assert counts.kept_bytes <= counts.peak_bytes <= 6 * output


def test_it_takes_no_memory_for_what_no_machine_has():
    case = case_of_patch([512, 512, 512], channels=1, classes=2, batch_size=16)
    assert count("nnUNetTrainer", case).peak_bytes > 2**40


@pytest.mark.parametrize(
    "preset", ["EGEUNet", *(pytest.param(name, marks=pytest.mark.slow) for name in OUR_PRESETS if name != "EGEUNet")]
)
def test_parameters_are_those_of_the_network(preset):
    case = case_of_patch([32, 32], channels=1, classes=2, batch_size=2)
    case.configuration.network_arch_init_kwargs["features_per_stage"] = [8, 8, 10, 12]
    counts = count(f"nnUNetTrainer{preset}", case)
    network = case.network(f"nnUNetTrainer{preset}")
    assert counts.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert torch.get_default_device().type == "cpu"

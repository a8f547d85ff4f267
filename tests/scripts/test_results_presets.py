"""EGE's open choices, which scripts/results.py compares: each differs from EGE in what its name says."""

import importlib.util
from pathlib import Path

import pytest
import torch

from nnunetv2_ext.architectures import EGE
from tests.plans import arguments, with_open_shortcuts

FILE = Path(__file__).parents[2] / "scripts" / "results_presets" / "choices.py"


@pytest.fixture(scope="module")
def choices():
    spec = importlib.util.spec_from_file_location("results_choices", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("masked", [True, False])
def test_without_masks_a_skip_does_not_depend_on_the_prediction_below(choices, masked):
    torch.manual_seed(0)
    net = with_open_shortcuts((EGE if masked else choices.EGENoMasks)(**arguments("3d"))).eval()
    x = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        before = net(x)[0]
        net.decoder.seg_layers[0].bias[1] += 5
        assert torch.equal(net(x)[0], before) != masked


def test_ghpa_is_on_every_stage(choices):
    net = choices.EGEGHPAEverywhere(**arguments("3d"))
    everywhere = EGE(**arguments("3d"), ghpa_stages=[0, 1, 2])
    assert net.state_dict().keys() == everywhere.state_dict().keys() != EGE(**arguments("3d")).state_dict().keys()

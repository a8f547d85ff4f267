import json
from pathlib import Path

import pytest
import torch

from tests.golden_files import GOLDEN, assert_equals_published
from tests.parity import PORTS

WITHOUT_FILE = {
    "ege2d.EGEUNet",
    "medt2d.MedT",
    "medt2d.ResAxialAttentionUNet",
    "medt2d.axialunet",
    "medt2d.gated",
    "medt2d.logo",
    "medt2d.medt_net",
    "seed3d.PlainConvEncoder",
}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_our_port_gives_the_published_numbers(path: Path) -> None:
    assert_equals_published(path)


def test_only_whole_networks_have_no_file() -> None:
    """Their files are large; those of their blocks are here."""
    recorded = {json.loads(torch.load(path, weights_only=True)["config"])["name"] for path in GOLDEN}
    assert set(PORTS) - recorded == WITHOUT_FILE

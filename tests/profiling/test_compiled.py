"""What a compiled step keeps."""

import pytest
import torch
from torch import nn

from nnunetv2_ext.architectures import EGE
from nnunetv2_ext.profiling.compiled import kept_when_compiled
from tests.plans import arguments


def test_an_activation_and_what_its_backward_takes_are_one_map() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Sigmoid())
    assert kept_when_compiled(network, torch.zeros(2, 1, 8, 8)) == 2 * 4 * 8 * 8 * 4


def test_what_is_cheap_is_made_again() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Sigmoid(), nn.ReLU(), nn.Hardswish(), nn.Conv2d(4, 1, 1))
    maps = 4 * 8 * 8 * 4, 8 * 8 * 4
    assert kept_when_compiled(network, torch.zeros(1, 1, 8, 8)) <= 2 * maps[0] + maps[1]


@pytest.mark.slow
def test_the_forms_keep_less_when_they_are_compiled_too() -> None:
    """At a size where maps outweigh weights; nothing is computed on the meta device."""

    def kept(form: str) -> int:
        with torch.device("meta"):
            network = EGE(form=form, **arguments("3d"))  # type: ignore[arg-type]
        return kept_when_compiled(network, torch.empty(1, 1, 32, 32, 32, device="meta"))

    plain, fast, frugal = (kept(form) for form in ("plain", "fast", "frugal"))
    assert fast < 0.6 * plain
    assert frugal < 0.75 * fast

"""What a compiled step keeps."""

import pytest
import torch
from packaging.version import Version
from torch import nn

from nnunetv2_ext.architectures import EGE
from nnunetv2_ext.profiling.compiled import kept_when_compiled
from tests.plans import arguments

pytestmark = pytest.mark.skipif(
    Version(torch.__version__) < Version("2.14"),
    reason="the compiler of torch 2.6 makes fake tensors of its own and refuses ours; the versions between weren't tried",
)


def test_an_activation_and_what_its_backward_takes_are_one_map() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Sigmoid())

    assert kept_when_compiled(build, (2, 1, 8, 8), "float32") == 2 * 4 * 8 * 8 * 4


def test_under_autocast_an_activation_and_the_weight_are_kept_in_half_precision() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Sigmoid())

    inputs, weights, outputs = 2 * 2 * 8 * 8, 4 * 2 * 9, 2 * 4 * 8 * 8
    assert kept_when_compiled(build, (2, 2, 8, 8)) == 2 * (inputs + weights + outputs)


def test_what_is_cheap_is_made_again() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Sigmoid(), nn.ReLU(), nn.Hardswish(), nn.Conv2d(4, 1, 1))

    maps = 4 * 8 * 8 * 4, 8 * 8 * 4
    assert kept_when_compiled(build, (1, 1, 8, 8), "float32") <= 2 * maps[0] + maps[1]


def test_what_lies_before_a_learned_slope_is_kept() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.PReLU(4), nn.Conv2d(4, 1, 1))

    assert kept_when_compiled(build, (2, 1, 8, 8), "float32") == 2 * (4 + 4 + 1) * 8 * 8 * 4


@pytest.mark.slow
def test_the_forms_keep_less_when_they_are_compiled_too() -> None:
    """At a size where maps outweigh weights."""

    def kept(recompute: str) -> int:
        def build() -> nn.Module:
            return EGE(recompute=recompute, mbtfe_stages=[0, 1], ghpa_stages=[], eab=False, gab=False, **arguments("3d"))  # type: ignore[arg-type]

        return kept_when_compiled(build, (1, 1, 32, 32, 32))

    none, selective, full = (kept(recompute) for recompute in ("none", "selective", "full"))
    assert selective < 0.7 * none
    assert full < 0.75 * selective

"""The compiler of a GPU that isn't there: it writes kernels for what it can take, and says what it can't take."""

import pytest
import torch
from click.testing import CliRunner
from packaging.version import Version
from torch import nn
from torch._inductor.scheduler import Scheduler

from scripts import compile_for_gpu
from scripts.compile_for_gpu import kernels_for_gpu, main

needs_a_newer_compiler = pytest.mark.skipif(
    Version(torch.__version__) < Version("2.11"), reason="older compilers ask other questions of a GPU"
)


def _build() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4, affine=True), nn.LeakyReLU())


@needs_a_newer_compiler
def test_a_step_becomes_kernels_of_its_forward_and_its_backward() -> None:
    asked_before = torch.cuda.get_device_properties
    forward, backward = kernels_for_gpu(_build, (2, 1, 16, 16))
    assert forward > 0
    assert backward > 0
    assert torch.cuda.get_device_properties is asked_before


@needs_a_newer_compiler
def test_what_the_compiler_cannot_take_is_raised(monkeypatch) -> None:
    def fail(*_) -> None:
        raise AssertionError("can't be fused")

    monkeypatch.setattr(Scheduler, "fuse_nodes", fail)
    with pytest.raises(Exception, match="can't be fused"):
        kernels_for_gpu(_build, (2, 1, 16, 16))


def test_one_that_fails_is_in_the_table_and_the_exit_code(monkeypatch) -> None:
    def fail_for_mbtfe(build, _) -> list[int]:
        if build.args == ("nnUNetTrainerMBTFE",):
            raise AssertionError("can't be fused")
        return [3, 4]

    monkeypatch.setattr(compile_for_gpu, "kernels_for_gpu", fail_for_mbtfe)
    failed = CliRunner().invoke(main, ["MBTFE", "EAB", "--patch", "32", "32", "32"])
    assert failed.exit_code == 1
    assert "AssertionError: can't be fused" in failed.output
    assert "3 + 4" in failed.output
    assert CliRunner().invoke(main, ["EAB", "--patch", "32", "32", "32"]).exit_code == 0

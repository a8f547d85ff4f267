"""The compiler of a GPU that isn't there: it writes kernels for what it can take, and says what it can't take."""

import json

import pytest
import torch
from click.testing import CliRunner
from packaging.version import Version
from torch import nn
from torch._inductor.scheduler import Scheduler

from scripts import compile_for_gpu as script
from scripts.compile_for_gpu import Graph, compile_for_gpu, main

needs_a_newer_compiler = pytest.mark.skipif(
    Version(torch.__version__) < Version("2.11"), reason="older compilers ask other questions of a GPU"
)


def _build() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4, affine=True), nn.LeakyReLU())


@needs_a_newer_compiler
def test_a_step_becomes_kernels_of_its_forward_and_its_backward() -> None:
    asked_before = torch.cuda.get_device_properties
    forward, backward = compile_for_gpu(_build, (2, 1, 16, 16))
    assert forward.kernels > 0
    assert backward.kernels > 0
    assert torch.cuda.get_device_properties is asked_before


@needs_a_newer_compiler
def test_the_peak_is_that_of_what_is_kept_and_what_is_made() -> None:
    class Squares(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1, 4, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x * self.scale) ** 2

    forward, backward = compile_for_gpu(Squares, (2, 4, 64, 64))
    output = 4 * 2 * 4 * 64 * 64  # bytes of float32; the input and the scale are recomputed from, and not counted
    assert forward.peak_bytes == output
    assert output <= backward.peak_bytes < 1.1 * output  # the gradient of the output, which is given, and that of the scale


@needs_a_newer_compiler
def test_what_the_compiler_cannot_take_is_raised(monkeypatch) -> None:
    def fail(*_) -> None:
        raise AssertionError("can't be fused")

    monkeypatch.setattr(Scheduler, "fuse_nodes", fail)
    with pytest.raises(Exception, match="can't be fused"):
        compile_for_gpu(_build, (2, 1, 16, 16))


def test_one_that_fails_is_in_the_record_and_the_exit_code(monkeypatch, tmp_path) -> None:
    def fail_for_mbtfe(build, _) -> list[Graph]:
        if build.args == ("nnUNetTrainerMBTFE",):
            raise AssertionError("can't be fused")
        return [Graph(3, 2**30), Graph(4, 2**31)]

    monkeypatch.setattr(script, "compile_for_gpu", fail_for_mbtfe)
    output = tmp_path / "compiled.jsonl"
    arguments = ["--patch", "32", "32", "32", "--output", str(output)]
    assert CliRunner().invoke(main, ["nnUNetTrainerMBTFE", "nnUNetTrainerEAB", *arguments]).exit_code == 1
    failed, other = map(json.loads, output.read_text().splitlines())
    assert (failed["trainer"], failed["problem"]) == ("nnUNetTrainerMBTFE", "AssertionError: can't be fused")
    assert (other["trainer"], other["kernels"], other["peak_gib"]) == ("nnUNetTrainerEAB", [3, 4], 2.0)
    assert CliRunner().invoke(main, ["nnUNetTrainerEAB", *arguments]).exit_code == 0

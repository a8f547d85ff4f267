"""The compiler of a GPU that isn't there: it writes kernels for what it can take, and says what it can't take."""

import pytest
import torch
from packaging.version import Version
from torch import nn
from torch._inductor.scheduler import Scheduler

from scripts.benchmark import sections, tables
from scripts.benchmark.record import Record

if Version(torch.__version__) < Version("2.11"):
    pytest.skip("older compilers ask other questions of a GPU", allow_module_level=True)

from scripts.benchmark import gpu_compiler
from scripts.benchmark.gpu_compiler import Graph, compile_for_gpu


def _build() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4, affine=True), nn.LeakyReLU())


def test_a_step_becomes_kernels_of_its_forward_and_its_backward() -> None:
    asked_before = torch.cuda.get_device_properties
    forward, backward = compile_for_gpu(_build, (2, 1, 16, 16))
    assert forward.kernels > 0
    assert backward.kernels > 0
    assert torch.cuda.get_device_properties is asked_before


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


def test_what_the_compiler_cannot_take_is_raised(monkeypatch) -> None:
    def fail(*_) -> None:
        raise AssertionError("can't be fused")

    monkeypatch.setattr(Scheduler, "fuse_nodes", fail)
    with pytest.raises(Exception, match="can't be fused"):
        compile_for_gpu(_build, (2, 1, 16, 16))


def test_the_section_has_a_row_for_each_network_also_for_one_that_fails(monkeypatch, tmp_path) -> None:
    def fail_for_med_t(build, _) -> list[Graph]:
        if build.args == ("nnUNetTrainerMedT",):
            raise AssertionError("can't be fused")
        return [Graph(3, 2**30), Graph(4, 2**31)]

    monkeypatch.setattr(gpu_compiler, "compile_for_gpu", fail_for_med_t)
    monkeypatch.setattr(sections, "_at_once", lambda function, jobs, _: map(function, jobs))
    record = Record(tmp_path / "compiled.jsonl", ["compiler"], torch.device("cpu"), minutes=60)
    sections.compiler(record, sections.Settings(torch.device("cpu"), tiny=True, rounds=1, backend=""))
    rows = {row["network"]: row for row in tables.sections(record.file)["compiler"]}
    assert list(rows) == ["stock", *sections.NETWORKS[1:]]
    assert rows["MedT"] == {"network": "MedT", "problem": "AssertionError: can't be fused"}
    assert (rows["EGE"]["compiled_gib"], rows["EGE"]["kernels"]) == (2.0, 7)
    assert rows["EGE"]["compiled_to_counted"] == pytest.approx(2.0 / rows["EGE"]["counted_gib"])

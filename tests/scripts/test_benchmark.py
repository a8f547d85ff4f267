"""The benchmark's record and tables."""

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from scripts.benchmark import checks
from scripts.benchmark.__main__ import main
from scripts.benchmark.record import Record
from scripts.benchmark.steps import peak_of, recorded_failure, slowest_operations, take_turns
from scripts.benchmark.tables import markdown, sections, write_tables


@pytest.fixture
def record(tmp_path):
    return Record(tmp_path / "cost.jsonl", ["modes"], torch.device("cpu"), minutes=60)


def test_repeated_seconds_become_median_range_and_ratio_to_stock(record):
    for seconds in (1.0, 4.0, 2.0):
        record.write("modes", "seconds", 2 * seconds, network="PlainConvUNet", compiled=True)
        record.write("modes", "seconds", seconds, network="EGE", compiled=True)
    record.write("modes", "seconds", 100.0, network="PlainConvUNet", compiled=False)
    _, ege, _ = sections(record.file)["modes"]
    assert ege == {"network": "EGE", "compiled": True, "seconds": 2.0, "ratio": 0.5, "fastest": 1.0, "slowest": 4.0}


def test_what_was_measured_before_a_run_is_cut_off_is_in_the_table(record, tmp_path):
    record.write("peak", "measured_gib", 1.5, network="EGE")
    with record.file.open("a") as stream:
        stream.write('{"section": "peak", "ro')
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- cost: peak -->\nold\n<!-- /cost: peak -->\nafter\n")
    write_tables(record.file, page)
    table = markdown([{"network": "EGE", "measured_gib": 1.5}])
    assert page.read_text() == f"before\n<!-- cost: peak -->\n{table}\n<!-- /cost: peak -->\nafter\n"


def test_one_that_runs_out_of_memory_says_so_and_the_others_are_timed(record):
    def too_large():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 TiB\nand much more")

    take_turns(record, "modes", [({"network": "a"}, too_large), ({"network": "b"}, lambda: None)], rounds=2)
    first, second = sections(record.file)["modes"]
    assert first == {"network": "a", "problem": "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 TiB"}
    assert second["seconds"] >= 0
    assert record.problems == 1


def test_the_slowest_operation_of_a_step_comes_first():
    wide, narrow = torch.rand(600, 600), torch.rand(20, 20)

    def step():
        for _ in range(3):
            torch.mm(wide, wide)
        torch.mm(narrow, narrow)

    slowest, other = slowest_operations(step, torch.device("cpu"), number=2)
    assert (slowest.name, slowest.calls) == ("mm 600x600", 3)
    assert (other.name, other.calls) == ("mm 20x20", 1)
    assert slowest.milliseconds > other.milliseconds > 0


def test_nothing_begins_when_the_time_is_up(tmp_path):
    record = Record(tmp_path / "cost.jsonl", ["modes"], torch.device("cpu"), minutes=0)
    take_turns(record, "modes", [({"network": "a"}, lambda: None)], rounds=2)
    assert "modes" not in sections(record.file)


def test_figures_that_would_not_be_measured_again_are_kept(record):
    record.write("modes", "seconds", 1.0, network="EGE")
    before = record.file.read_text()
    result = CliRunner().invoke(main, ["--size", "tiny", "--output", str(record.file), "--sections", "peak"])
    assert result.exit_code == 2
    assert "has figures of modes, which would be lost: name another --output" in " ".join(result.output.split())
    assert record.file.read_text() == before


def test_sections_that_the_time_does_not_reach_are_named(tmp_path):
    arguments = ["--minutes", "0", "--size", "tiny", "--output", str(tmp_path / "cost.jsonl"), "--sections", "peak,modes"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [f"{name}: not begun, because the time was up" for name in ("peak", "modes")]


def test_a_failure_is_no_success(record):
    with recorded_failure(record, "peak", network="a"):
        raise ValueError("no such thing")
    assert record.problems == 1


def test_the_peak_of_a_step_on_a_cpu_is_that_by_the_rules_of_a_gpu():
    batch = torch.zeros(1, 2, 16, 16)
    halves = peak_of(nn.Conv2d(2, 8, 1), batch, lambda: None)
    assert halves >= 2 * 8 * 16 * 16 + 4 * 8 * 16 * 16  # the output in half precision and its copy for the loss


@pytest.mark.parametrize(("errors", "tried", "given"), [([0.1], 1, 0.1), ([0.7, 0.3], 2, 0.3), ([0.7, 0.8, 0.9], 3, 0.9)])
def test_weights_that_amplify_rounding_are_tried_again_with_others(errors, tried, given, monkeypatch):
    seeds = []

    def computed(seed, *_):
        seeds.append(seed)
        return {"outputs": 0.01, "gradients": errors[seed]}

    monkeypatch.setattr(checks, "_errors_with_weights", computed)
    assert checks.half_precision_errors("EGE", "2d", torch.device("cpu"))["gradients"] == given
    assert seeds == list(range(tried))

"""``nnUNetv2_ext profile``"""

import csv
import json

import pytest

from nnunetv2_ext.presets import PRESETS
from nnunetv2_ext.profiling import profile as module
from nnunetv2_ext.profiling import timing
from nnunetv2_ext.profiling.count import Counts
from nnunetv2_ext.profiling.timing import Timing

FIRST = f"nnUNetTrainer{next(iter(PRESETS))}"
PATCH = ("profile", "--patch", "32", "32")


@pytest.fixture
def measured(monkeypatch):
    """Costs that take no time to measure: twice the stock network's."""

    def counts(trainer, case, _precision):
        factor = 1 if trainer == "nnUNetTrainer" else 2
        batch_size = case.configuration.batch_size
        return Counts(*(factor * value for value in (10**6, 1.5, 3.0, 6.0, 2**31, 2**30)), batch_size=batch_size)

    monkeypatch.setattr(module, "count", counts)
    monkeypatch.setattr(module, "time_step", lambda _trainer, _case: Timing(0.5, 1, None))
    monkeypatch.setattr(timing, "device", lambda: timing.torch.device("cpu"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["profile", "--all"],
        [*PATCH, "-d", "4", "--all"],
        [*PATCH],
        [*PATCH, "--all", "-tr", FIRST],
        [*PATCH, "--all", "--batch-size", "0"],
    ],
)
def test_wrong_usage(command, arguments):
    assert command(*arguments).exit_code == 2


def test_an_unknown_trainer_is_said_before_anything_is_measured(command):
    result = command(*PATCH, "-tr", f"{FIRST}x")
    assert result.exit_code == 1
    assert f"there is no trainer {FIRST}x" in result.output


@pytest.mark.usefixtures("measured")
def test_stock_trainers_have_a_row(command):
    result = command(*PATCH, "-tr", "nnUNetTrainerBN", "--json")
    assert result.exit_code == 0, result.output
    assert [row["trainer"] for row in json.loads(result.stdout)["trainers"]] == ["nnUNetTrainer", "nnUNetTrainerBN"]


@pytest.mark.usefixtures("measured")
def test_the_table_has_stock_and_ratios(command):
    output = command(*PATCH, "-tr", FIRST, "--no-time").stdout
    assert "(stock)" in output
    assert "2.00x" in output
    assert "Timed on a CPU" not in output


@pytest.mark.usefixtures("measured")
def test_times_of_a_cpu_come_with_a_warning(command):
    assert "Timed on a CPU at batch 1" in command(*PATCH, "-tr", FIRST).stdout


@pytest.mark.usefixtures("measured")
def test_another_batch_size_is_named(command):
    output = command(*PATCH, "-tr", f"{FIRST}_bs4", "--no-time").stdout
    assert f"{FIRST}_bs4: counted at its own batch size, 4." in output


@pytest.mark.usefixtures("measured")
def test_json_has_all_presets(command):
    report = json.loads(command(*PATCH, "--all", "--json", "--channels", "3").stdout)
    assert report["input_shape"] == [2, 3, 32, 32]
    assert [row["trainer"] for row in report["trainers"]] == ["nnUNetTrainer", *(f"nnUNetTrainer{name}" for name in PRESETS)]
    assert {row["ratios"]["gflops"] for row in report["trainers"][1:]} == {2}


@pytest.mark.usefixtures("measured")
def test_files(command, tmp_path):
    table, plot = tmp_path / "costs.csv", tmp_path / "costs.png"
    assert command(*PATCH, "-tr", FIRST, "--csv", str(table), "--plot", str(plot)).exit_code == 0
    with table.open() as stream:
        stock, other = csv.DictReader(stream)
    assert (stock["gflops"], other["gflops"], other["gflops_ratio"]) == ("3.0", "6.0", "2.0")
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("measured")
def test_a_network_that_fails_has_its_reason_and_the_exit_code_is_1(command, monkeypatch):
    def fail(_trainer, _case):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(module, "time_step", fail)
    result = command(*PATCH, "-tr", FIRST)
    assert result.exit_code == 1
    assert f"{FIRST}: RuntimeError: out of memory" in result.stdout


def test_precision_says_what_the_memory_is_counted_in(command):
    peaks = []
    for precision in ("autocast", "float32"):
        report = json.loads(command(*PATCH, "-tr", "nnUNetTrainer", "--no-time", "--json", "--precision", precision).stdout)
        assert report["precision"] == precision
        assert report["trainers"][0]["problem"] == ""
        peaks.append(report["trainers"][0]["peak_bytes"])
    assert peaks[0] < peaks[1] < 2 * peaks[0]


@pytest.mark.usefixtures("measured")
def test_the_table_says_what_the_memory_is_counted_in(command):
    assert "in float16 autocast, not compiled" in command(*PATCH, "-tr", FIRST, "--no-time").stdout
    assert "in float32, not compiled" in command(*PATCH, "-tr", FIRST, "--no-time", "--precision", "float32").stdout


@pytest.mark.slow
def test_it_measures(command):
    report = json.loads(command(*PATCH, "-tr", FIRST, "--no-time", "--json").stdout)
    stock, other = report["trainers"]
    assert other["peak_bytes"] > stock["peak_bytes"] > 0
    assert other["seconds"] is None

"""Profiles of several trainers."""

from nnunetv2_ext.profiling import profile as module
from nnunetv2_ext.profiling.count import Counts
from nnunetv2_ext.profiling.profile import STOCK, Profile, profiles, ratios
from nnunetv2_ext.profiling.timing import Timing

COUNTS = Counts(10, 1.0, 2.0, 4.0, 100, 50, batch_size=2)
EGE = "nnUNetTrainerEGE"


def test_stock_comes_first_and_once(case, monkeypatch):
    monkeypatch.setattr(module, "count", lambda _trainer, _case, _precision: COUNTS)
    assert [row.trainer for row in profiles([EGE, STOCK, EGE], case, timed=False)] == [STOCK, EGE]


def test_one_that_fails_does_not_take_the_others_with_it(case, monkeypatch):
    def fail_for_b(trainer, _case, _precision):
        if trainer == EGE:
            raise RuntimeError("out of memory\nand much more")
        return COUNTS

    monkeypatch.setattr(module, "count", fail_for_b)
    stock, failed, other = profiles([EGE, "nnUNetTrainerEAB"], case, timed=False)
    assert failed.problem == "RuntimeError: out of memory"
    assert failed.values()["gmacs"] is None
    assert stock.problem == other.problem == ""


def test_a_step_that_fails_keeps_what_was_counted(case, monkeypatch):
    def fail(_trainer, _case):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(module, "time_step", fail)
    row = next(profiles([], case, timed=True))
    assert row.counts is not None
    assert "out of memory" in row.problem


def test_ratios_are_to_stock():
    stock = Profile("nnUNetTrainer", COUNTS, Timing(2.0, 1, None))
    other = Profile("b", COUNTS._replace(parameters=30), Timing(3.0, 1, None))
    assert ratios(other, stock)["parameters"] == 3
    assert ratios(other, stock)["seconds"] == 1.5
    assert ratios(other, stock)["gpu_bytes"] is None
    assert set(ratios(stock, stock).values()) == {1, None}


def test_a_trainer_is_counted_at_the_batch_size_in_its_name(case):
    stock, other = profiles([f"{STOCK}EAB_bs1"], case, timed=False)
    eab = next(row for row in profiles([f"{STOCK}EAB"], case, timed=False) if row.trainer != STOCK)
    assert (stock.counts.batch_size, other.counts.batch_size) == (2, 1)
    assert other.counts.batch_gflops == eab.counts.batch_gflops / 2
    assert 0.4 < other.counts.peak_bytes / eab.counts.peak_bytes < 0.6
    assert case.configuration.batch_size == 2
    comparable = {name for name, ratio in ratios(other, stock).items() if ratio is not None}
    assert comparable == {"parameters", "gmacs", "gflops"}


def test_times_of_other_batches_are_not_compared():
    stock = Profile("nnUNetTrainer", COUNTS, Timing(2.0, 1, None))
    assert ratios(Profile("b", COUNTS, Timing(3.0, 2, None)), stock)["seconds"] is None

"""The time of a step."""

import pytest
import torch

from nnunetv2_ext.presets import PRESETS
from nnunetv2_ext.profiling import timing
from nnunetv2_ext.profiling.count import Counts
from nnunetv2_ext.profiling.timing import time_step, too_big_for_a_cpu

FIRST = f"nnUNetTrainer{next(iter(PRESETS))}"
COUNTS = Counts(10, 1.0, 2.0, 4.0, 100, 50, batch_size=2)


@pytest.mark.parametrize("trainer", ["nnUNetTrainer", FIRST])
def test_a_step_trains_and_takes_time(case, trainer, monkeypatch):
    monkeypatch.setattr(timing, "device", lambda: torch.device("cpu"))
    monkeypatch.setattr(timing, "SECONDS", 0.01)
    measured = time_step(trainer, case)
    assert measured.seconds > 0
    assert (measured.timed_batch_size, measured.gpu_bytes) == (1, None)


@pytest.mark.parametrize("too_much", [{"gflops": 1e6}, {"peak_bytes": 2**40}])
def test_what_is_too_big_for_a_cpu_is_not_timed_and_says_why(case, too_much, monkeypatch):
    monkeypatch.setattr(timing, "device", lambda: torch.device("cpu"))
    assert too_big_for_a_cpu(case, COUNTS) == ""
    assert "too much for a CPU" in too_big_for_a_cpu(case, COUNTS._replace(**too_much))
    monkeypatch.setattr(timing, "device", lambda: torch.device("cuda"))
    assert too_big_for_a_cpu(case, COUNTS._replace(**too_much)) == ""


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_step_on_a_gpu_is_of_the_whole_batch_and_has_its_memory(case):
    measured = time_step(FIRST, case)
    assert measured.timed_batch_size == case.configuration.batch_size
    assert measured.gpu_bytes > 0

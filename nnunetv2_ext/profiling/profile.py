"""Profiles of trainers, each by itself: one that fails doesn't take the others with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nnunetv2_ext.memory.step import Precision
from nnunetv2_ext.profiling.case import Case
from nnunetv2_ext.profiling.count import Counts, count
from nnunetv2_ext.profiling.timing import Timing, time_step, too_big_for_a_cpu
from nnunetv2_ext.trainers.names import PREFIX

STOCK = PREFIX


@dataclass(frozen=True)
class Profile:
    """A trainer's costs, as far as they were measured."""

    trainer: str
    counts: Counts | None
    timing: Timing | None
    note: str = ""
    """why it was not timed, though it could have been"""
    problem: str = ""
    """why it could not be measured"""

    def values(self) -> dict[str, Any]:
        """Everything by name, None where it was not measured."""
        counts = self.counts._asdict() if self.counts else dict.fromkeys(Counts._fields)
        timing = self.timing._asdict() if self.timing else dict.fromkeys(Timing._fields)
        return {"trainer": self.trainer, **counts, **timing, "note": self.note, "problem": self.problem}


def profiles(trainers: Sequence[str], case: Case, *, timed: bool, precision: Precision = "autocast") -> Iterator[Profile]:
    """The profile of the stock trainer and then of each of the others, as they are measured."""
    for trainer in dict.fromkeys((STOCK, *trainers)):
        yield _profile(trainer, case, timed, precision)


def ratios(profile: Profile, stock: Profile) -> dict[str, float | None]:
    """The costs relative to the stock trainer's; None where one of the two was not measured or is of another batch."""
    ours, theirs = profile.values(), stock.values()
    if ours["batch_size"] != theirs["batch_size"]:
        ours |= dict.fromkeys(("batch_gflops", "peak_bytes", "kept_bytes", "gpu_bytes"))
    if ours["timed_batch_size"] != theirs["timed_batch_size"]:
        ours["seconds"] = None
    names = ("parameters", "gmacs", "gflops", "batch_gflops", "peak_bytes", "kept_bytes", "seconds", "gpu_bytes")
    return {name: ours[name] / theirs[name] if ours[name] and theirs[name] else None for name in names}


def _profile(trainer: str, case: Case, timed: bool, precision: Precision) -> Profile:
    counts, timing, note = None, None, ""
    try:
        case = case.for_trainer(trainer)
        counts = count(trainer, case, precision)
        if timed and not (note := too_big_for_a_cpu(case, counts)):
            timing = time_step(trainer, case)
    except Exception as error:  # any network, on any plan, out of any memory
        return Profile(trainer, counts, None, note, f"{type(error).__name__}: {error}".splitlines()[0])
    return Profile(trainer, counts, timing, note)

"""What a model cost: from its run cards, or as far as nnU-Net's logs tell."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nnunetv2_ext.comparison.reading import FinishedRun, Model


@dataclass
class Cost:
    """What a model cost; None where it isn't known."""

    parameters: int | None = None
    epochs: int | None = None
    """of the longest run"""
    seconds_per_epoch: float | None = None
    """the median over epochs, then over runs"""
    peak_memory_bytes: int | None = None
    """the most of all runs"""
    peak_memory_is: str | None = None
    """where that memory is: allocated on the GPU, or resident in RAM"""
    device: str | None = None
    gflops: float | None = None
    """of a forward of one patch, counted"""
    step_bytes: int | None = None
    """at the peak of a training step, counted"""


def cost_of(model: Model) -> Cost:
    """The cost of a model's runs."""
    runs = list(model.finished.values())
    cards = [run.card.get("cost", {}) for run in runs]
    seconds = [card.get("seconds_per_epoch") or _seconds(run) for card, run in zip(cards, runs, strict=True)]
    epochs = [card.get("epochs") or len(run.epochs) for card, run in zip(cards, runs, strict=True)]
    known = [value for value in seconds if value]
    return Cost(
        _first(run.card.get("network", {}).get("parameters") for run in runs),
        max(epochs, default=0) or None,
        statistics.median(known) if known else None,
        max((card["peak_memory_bytes"] for card in cards if card.get("peak_memory_bytes")), default=None),
        _first(card.get("peak_memory_is") for card in cards),
        " and ".join(sorted({card["device"] for card in cards if "device" in card})) or None,
    )


def add_counted_costs(costs: dict[str, Cost], dataset: str, configuration: str, plans: str) -> list[str]:
    """Adds what ``profile`` counts, by trainer: parameters, operations, memory of a training step.

    Returns:
        notes on trainers that could not be counted

    Raises:
        DatasetError: if the dataset or its plans are gone.
        PlanError: if the plans no longer have the configuration.
    """
    from nnunetv2_ext.profiling.case import case_of_dataset
    from nnunetv2_ext.profiling.profile import profiles

    case, notes = case_of_dataset(dataset, configuration, plans), []
    for profile in profiles(list(costs), case, timed=False):
        if profile.trainer in costs and profile.counts:
            cost = costs[profile.trainer]
            cost.parameters = profile.counts.parameters
            cost.gflops = profile.counts.gflops
            cost.step_bytes = profile.counts.peak_bytes
        elif profile.trainer in costs:
            notes.append(f"The costs of {profile.trainer} could not be counted: {profile.problem}")
    return notes


def _seconds(run: FinishedRun) -> float | None:
    return statistics.median(run.epoch_seconds) if run.epoch_seconds else None


def _first(values: Iterable[Any]) -> Any:
    return next((value for value in values if value is not None), None)

"""Scores of models as arrays over repeats, cases and classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnunetv2_ext.comparison.reading import FinishedRun, Model

Array = npt.NDArray[np.float64]
Case = tuple[str, str]
"""fold and name"""


@dataclass(frozen=True)
class Metric:
    """What is measured of a prediction."""

    key: str
    label: str
    decimals: int
    higher_is_better: bool
    read: Callable[[FinishedRun, str, str], float]
    """of a run, a case and a class; nan where it is undefined"""


DICE = Metric("dice", "Dice", 3, True, lambda run, case, label: float(run.scores[case][label]["Dice"]))
"""as nnU-Net computes it: nan where neither truth nor prediction has the class"""


@dataclass(frozen=True)
class Scores:
    """One metric of one model."""

    values: Array
    """(repeats, cases, classes); nan where undefined"""
    folds: npt.NDArray[np.str_]
    """(cases,)"""

    @property
    def pooled(self) -> Array:
        """(repeats, classes): the mean over the cases where it is defined, as in nnU-Net's summary."""
        return nanmean(self.values, 1)

    @property
    def per_fold(self) -> Array:
        """(folds, classes): the same of each fold, averaged over the repeats."""
        return np.stack([nanmean(nanmean(self.values[:, self.folds == fold], 1), 0) for fold in dict.fromkeys(self.folds)])

    @property
    def per_case(self) -> Array:
        """(cases, classes): averaged over the repeats where it is defined."""
        return nanmean(self.values, 0)


def cases_of(models: Sequence[Model]) -> list[Case]:
    """The cases that all runs have, fold by fold."""
    folds = dict.fromkeys(fold for model in models for _, fold in model.finished)
    cases: list[Case] = []
    for fold in folds:
        runs = [run for model in models for (_, other), run in model.finished.items() if other == fold]
        common = set.intersection(*(set(run.scores) for run in runs))
        cases += [(fold, case) for case in sorted(common)]
    return cases


def classes_of(models: Sequence[Model]) -> dict[str, str]:
    """The classes' keys in nnU-Net's summaries, with their names in dataset.json."""
    run = next(iter(models[0].finished.values()))
    keys = list(next(iter(run.scores.values())))
    labels = models[0].dataset.get("labels", {})
    names = {key: name for name, label in labels.items() for key in _keys(label)}
    return {key: names.get(key, key) for key in keys}


def score(model: Model, metric: Metric, cases: Sequence[Case], classes: Sequence[str]) -> Scores:
    """A metric of a model's predictions."""
    repeats = sorted({repeat for repeat, _ in model.finished})
    values = np.array(
        [
            [[metric.read(model.finished[repeat, fold], case, label) for label in classes] for fold, case in cases]
            for repeat in repeats
        ],
        dtype=np.float64,
    )
    return Scores(values, np.array([fold for fold, _ in cases]))


def _keys(label: float | list[int]) -> list[str]:
    """How nnU-Net's summaries may write a label or a region."""
    if not isinstance(label, list):
        return [str(label)]
    return [str(tuple(label)), *(str(one) for one in label if len(label) == 1)]


def nanmean(values: Array, axis: int) -> Array:
    """The mean of what is defined; nan, without a warning, where nothing is."""
    defined = ~np.isnan(values)
    count = defined.sum(axis)
    return np.where(count > 0, np.where(defined, values, 0).sum(axis) / np.maximum(count, 1), np.nan)

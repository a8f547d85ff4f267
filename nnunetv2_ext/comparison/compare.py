"""The comparison itself: every model's scores, and its differences from a reference, paired by case."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from nnunetv2_ext.comparison.cost import Cost, cost_of
from nnunetv2_ext.comparison.reading import Model
from nnunetv2_ext.comparison.scores import Array, Case, Metric, Scores, cases_of, classes_of, nanmean, score
from nnunetv2_ext.comparison.statistics import bootstrap_interval, holm, wilcoxon_p
from nnunetv2_ext.errors import ComparisonError

FOREGROUND = "foreground"
"""the mean over the classes"""


@dataclass
class Difference:
    """A model minus the reference, over the cases where both are defined."""

    mean: float
    low: float
    """of the 95 % BCa bootstrap interval"""
    high: float
    p: float
    """of Wilcoxon's signed-rank test"""
    better: int
    """cases in which the model is better than the reference"""
    worse: int
    left_out: int
    """cases where one of the two is undefined"""
    per_case: list[float]
    """nan where left out"""
    p_holm: float = float("nan")
    """corrected for the number of models that are compared; per class for models times classes"""


@dataclass
class Estimate:
    """A metric of a model for one class, or for the foreground."""

    pooled: float
    """the mean over all cases, then over repeats"""
    per_fold: list[float]
    """the mean over the cases of a fold"""
    fold_mean: float
    fold_sd: float
    """between the folds; nan with one fold"""
    per_repeat: list[float]
    """pooled"""
    repeat_sd: float
    """between the repeats; nan with one repeat"""
    per_case: list[float]
    difference: Difference | None = None
    """None for the reference"""


@dataclass
class Entry:
    """A model in a comparison."""

    name: str
    trainer: str
    plans: str
    repeats: int
    cost: Cost
    estimates: dict[str, dict[str, Estimate]]
    """by metric and class, ``foreground`` among them"""


@dataclass
class Comparison:
    """All that tables and pages are made of."""

    dataset: str
    configuration: str
    folds: list[str]
    cases: list[Case]
    classes: dict[str, str]
    """names by nnU-Net's keys"""
    metrics: list[Metric]
    reference: str
    entries: list[Entry]
    notes: list[str] = field(default_factory=list)

    def entry(self, name: str) -> Entry:
        """The entry of that name."""
        return next(entry for entry in self.entries if entry.name == name)

    def values(self) -> dict[str, Any]:
        """Everything, as JSON has it."""
        metrics = [{name: value for name, value in vars(metric).items() if name != "read"} for metric in self.metrics]
        return {**vars(self), "metrics": metrics, "entries": [asdict(entry) for entry in self.entries]}


def compare(
    models: Sequence[Model],
    metrics: Sequence[Metric],
    *,
    reference: str,
    track: Callable[[Sequence[Any]], Any] = iter,
) -> Comparison:
    """Compares models that were checked.

    Args:
        models: finished in the same folds
        metrics: the first one is nnU-Net's Dice
        reference: name of the model that is subtracted from the others
        track: shows the progress of going over a sequence

    Raises:
        ComparisonError: if the reference isn't among the models.
    """
    names = [model.name for model in models]
    if reference not in names:
        raise ComparisonError(
            f"the reference {reference} is not among the models: {', '.join(names)}. Name one with --reference."
        )
    first = [model for model in models if model.name == reference]
    models = [*first, *(model for model in models if model.name != reference)]
    cases, classes = cases_of(models), classes_of(models)
    if not cases:
        raise ComparisonError("the models have no validation case in common.")
    result = Comparison(
        models[0].runs[next(iter(models[0].runs))].dataset,
        models[0].configuration_name,
        list(dict.fromkeys(fold for fold, _ in cases)),
        cases,
        classes,
        list(metrics),
        reference,
        [_entry(model) for model in models],
    )
    work = [(entry, model, metric) for metric in metrics for entry, model in zip(result.entries, models, strict=True)]
    scores: dict[tuple[str, str], Scores] = {}
    for entry, model, metric in track(work):
        scores[model.name, metric.key] = score(model, metric, cases, list(classes))
        entry.estimates[metric.key] = _estimates(scores[model.name, metric.key], list(classes))
    for metric in metrics:
        _add_differences(result, metric, scores)
    result.notes += _notes(result, scores)
    return result


def _entry(model: Model) -> Entry:
    return Entry(model.name, model.trainer, model.plans_name, len({repeat for repeat, _ in model.runs}), cost_of(model), {})


def _estimates(scores: Scores, classes: Sequence[str]) -> dict[str, Estimate]:
    """Of every class, and of the foreground, which is the mean of the classes as in nnU-Net's summaries."""
    pooled, per_fold, per_case = scores.pooled, scores.per_fold, scores.per_case
    estimates = {
        name: _estimate(pooled[:, index], per_fold[:, index], per_case[:, index]) for index, name in enumerate(classes)
    }
    estimates[FOREGROUND] = _estimate(nanmean(pooled, -1), nanmean(per_fold, -1), nanmean(per_case, -1))
    return estimates


def _estimate(per_repeat: Array, per_fold: Array, per_case: Array) -> Estimate:
    return Estimate(
        float(per_repeat.mean()),
        per_fold.tolist(),
        float(per_fold.mean()),
        float(per_fold.std(ddof=1)) if len(per_fold) > 1 else float("nan"),
        per_repeat.tolist(),
        float(per_repeat.std(ddof=1)) if len(per_repeat) > 1 else float("nan"),
        per_case.tolist(),
    )


def _add_differences(result: Comparison, metric: Metric, scores: dict[tuple[str, str], Scores]) -> None:
    reference, *others = result.entries
    theirs = scores[reference.name, metric.key].per_case
    for entry in others:
        ours = scores[entry.name, metric.key].per_case
        differences = ours - theirs
        for index, name in enumerate(result.classes):
            entry.estimates[metric.key][name].difference = _difference(differences[:, index], metric)
        # Of a case, the classes that both models have a score for: a mean over others would be of another thing.
        entry.estimates[metric.key][FOREGROUND].difference = _difference(nanmean(differences, -1), metric)
    # Two families of tests: the foreground of all models, and all classes of all models.
    _correct([entry.estimates[metric.key][FOREGROUND] for entry in others])
    _correct([entry.estimates[metric.key][name] for entry in others for name in result.classes])


def _difference(per_case: Array, metric: Metric) -> Difference:
    defined = per_case[~np.isnan(per_case)]
    low, high = bootstrap_interval(defined)
    gain = defined if metric.higher_is_better else -defined
    mean = float(defined.mean()) if defined.size else float("nan")
    counts = int((gain > 0).sum()), int((gain < 0).sum()), int(np.isnan(per_case).sum())
    return Difference(mean, float(low), float(high), wilcoxon_p(defined), *counts, per_case.tolist())


def _correct(estimates: Sequence[Estimate]) -> None:
    differences = [estimate.difference for estimate in estimates if estimate.difference]
    for difference, p in zip(differences, holm([difference.p for difference in differences]), strict=True):
        difference.p_holm = p


def _notes(result: Comparison, scores: dict[tuple[str, str], Scores]) -> list[str]:
    notes = []
    for metric in result.metrics:
        for entry in result.entries:
            undefined = np.isnan(scores[entry.name, metric.key].values)
            if undefined.any():
                of_classes = ", ".join(
                    f"{int(undefined[:, :, index].any(0).sum())} of {name}"
                    for index, name in enumerate(result.classes.values())
                    if undefined[:, :, index].any()
                )
                why = "truth and prediction are both empty" if metric.key == "dice" else "truth or prediction is empty"
                notes.append(f"{metric.label} of {entry.name} leaves out cases where {why}: {of_classes}.")
    if all(entry.repeats == 1 for entry in result.entries):
        notes.append(
            "Every fold was trained once. The intervals say how the differences would vary with other cases, not with other "
            "trainings; 'nnUNetv2_ext sweep --repeats' shows that."
        )
    devices = sorted({entry.cost.device for entry in result.entries if entry.cost.device})
    if len(devices) == 1:
        notes.append(f"Trained on {devices[0]}.")
    elif devices:
        notes.append(f"The models were trained on different devices, so their seconds don't compare: {', '.join(devices)}.")
    return notes

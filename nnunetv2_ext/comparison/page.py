"""A comparison as one self-contained HTML page."""

import math
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import nnunetv2_ext
from nnunetv2_ext.comparison import charts
from nnunetv2_ext.comparison.compare import FOREGROUND, Comparison, Entry
from nnunetv2_ext.comparison.reading import FinishedRun, Model
from nnunetv2_ext.comparison.scores import Metric
from nnunetv2_ext.comparison.slices import legend, most_different
from nnunetv2_ext.comparison.tables import caption, p_value, short, tables
from nnunetv2_ext.errors import ComparisonError, DatasetError
from nnunetv2_ext.training_log import Epoch

COLOURS = 8
"""that the page has for models"""


def write_page(comparison: Comparison, models: Sequence[Model], file: Path) -> None:
    """Writes the page; it needs no network, no script and no other file."""
    environment = Environment(
        loader=PackageLoader("nnunetv2_ext", "comparison"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = short
    order = {entry.name: number for number, entry in enumerate(comparison.entries)}
    models = sorted(models, key=lambda model: order[model.name])
    template = environment.get_template("page.html.jinja")
    file.write_text(template.render(_content(comparison, models)), encoding="utf-8")


def _content(comparison: Comparison, models: Sequence[Model]) -> dict[str, Any]:
    first = comparison.metrics[0]
    others = [entry for entry in comparison.entries if entry.name != comparison.reference]
    try:
        cases, without_cases = most_different(comparison, models), ""
    except (ComparisonError, DatasetError, OSError) as error:  # whoever has only the results still gets the rest of the page
        cases, without_cases = [], str(error)
    return {
        "comparison": comparison,
        "caption": caption(comparison),
        "date": date.today().isoformat(),
        "version": nnunetv2_ext.__version__,
        "sentences": [_sentence(entry, comparison) for entry in others],
        "tables": tables(comparison),
        "intervals": [charts.intervals(_intervals(comparison, metric), metric.label) for metric in comparison.metrics],
        "by_case": [
            {
                "name": entry.name,
                "pairs": charts.pairs(_pairs(entry, comparison), short(comparison.reference), short(entry.name), first.label),
                "differences": charts.differences(_pairs(entry, comparison), first.label),
            }
            for entry in others
        ],
        "curves": [
            chart
            for label, value in (("pseudo Dice", _pseudo_dice), ("validation loss", lambda epoch: epoch.val_loss))
            if (chart := charts.curves(_lines(models, value), label))
        ],
        "names": [short(entry.name) for entry in comparison.entries],
        "cases": cases,
        "without_cases": without_cases,
        "legend": legend(models[0].dataset),
        "runs": [_run(model, run) for model in models for run in model.finished.values()],
        "versions": _versions(models),
    }


def _sentence(entry: Entry, comparison: Comparison) -> dict[str, str]:
    """What the comparison says of a model: better or worse only where both the interval and the corrected test do."""
    metric = comparison.metrics[0]
    difference = entry.estimates[metric.key][FOREGROUND].difference
    assert difference is not None
    interval = charts.Interval("", "", difference.mean, difference.low, difference.high, metric.higher_is_better)
    kind = interval.kind if difference.p_holm < 0.05 else "same"
    words = {"better": "better than", "worse": "worse than", "same": "not distinguishable from"}
    decimals = metric.decimals + 1
    return {
        "kind": kind,
        "name": short(entry.name),
        "words": words[kind],
        "reference": short(comparison.reference),
        "difference": "undefined" if math.isnan(difference.mean) else f"{difference.mean:+.{decimals}f}",
        "interval": "" if math.isnan(difference.low) else f"{difference.low:+.{decimals}f} to {difference.high:+.{decimals}f}",
        "p": f"= {p_value(difference.p_holm)}" if difference.p_holm >= 0.001 else p_value(difference.p_holm),  # nothing if nan
        "counts": f"better in {difference.better}, worse in {difference.worse} of {len(comparison.cases)} cases",
    }


def _intervals(comparison: Comparison, metric: Metric) -> list[charts.Interval]:
    rows = []
    for entry in comparison.entries:
        for name in (FOREGROUND, *comparison.classes):
            difference = entry.estimates[metric.key][name].difference
            if difference is not None:
                ends = difference.mean, difference.low, difference.high
                rows.append(
                    charts.Interval(short(entry.name), comparison.classes.get(name, name), *ends, metric.higher_is_better)
                )
    return rows


def _pairs(entry: Entry, comparison: Comparison) -> list[charts.Pair]:
    """The cases' foreground under the first metric, where both models have one."""
    metric = comparison.metrics[0]
    estimate = entry.estimates[metric.key][FOREGROUND]
    if estimate.difference is None:
        return []
    reference = comparison.entry(comparison.reference).estimates[metric.key][FOREGROUND].per_case
    rows = zip(comparison.cases, reference, estimate.difference.per_case, strict=True)
    return [
        charts.Pair(case, score, score + gain, gain > 0, gain < 0) for (_, case), score, gain in rows if not math.isnan(gain)
    ]


def _lines(models: Sequence[Model], value: Any) -> list[charts.Line]:
    return [
        charts.Line(
            number % COLOURS,
            f"{short(model.name)}, fold {fold}" + (f", repeat {repeat}" if repeat else ""),
            [(float(epoch), value(content)) for epoch, content in run.epochs.items()],
        )
        for number, model in enumerate(models)
        for (repeat, fold), run in model.finished.items()
    ]


def _pseudo_dice(epoch: Epoch) -> float:
    """nnU-Net's mean over the classes, without those that are nowhere in its patches."""
    known = [dice for dice in epoch.pseudo_dice if not math.isnan(dice)]
    return sum(known) / len(known) if known else math.nan


def _run(model: Model, run: FinishedRun) -> dict[str, Any]:
    cost, seconds = run.card.get("cost", {}), run.epoch_seconds
    return {
        "name": short(model.name),
        "plans": model.plans_name,
        "fold": run.run.fold,
        "repeat": run.run.repeat,
        "epochs": len(run.epochs) or cost.get("epochs", ""),
        "minutes": f"{sum(seconds) / 60:.1f}" if seconds else "",
        "device": cost.get("device", ""),
        "command": run.card.get("command", ""),
        "changes": [f"{name} {values['here']}" for name, values in run.card.get("differs_from_nnUNetTrainer", {}).items()],
    }


def _versions(models: Sequence[Model]) -> list[str]:
    cards = [run.card.get("versions", {}) for model in models for run in model.finished.values()]
    names = dict.fromkeys(name for card in cards for name in card)
    return [f"{name} {' or '.join(sorted({card[name] for card in cards if name in card}))}" for name in names]

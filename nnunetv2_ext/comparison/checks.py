"""Whether a comparison is fair: same data, same plans, same folds of the same cases."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import product

from nnunetv2_ext.comparison.reading import Model
from nnunetv2_ext.errors import ComparisonError

ALLOWANCES = {
    "data": "models whose datasets differ",
    "plans": "models whose plans differ",
    "splits": "folds of other cases; what they have in common is compared",
    "incomplete": "models that lack folds; the folds that all have are compared",
    "fold_all": "fold_all, whose validation cases were trained on",
}
"""what is refused unless it is allowed, for the option --allow"""

# Our trainers write it into the plan beside the checkpoint; it follows from the dataset.
NO_CHOICE_OF_THE_PLAN = {"region_based", "inherits_from"}


def check(models: Sequence[Model], folds: Sequence[str], allowed: Collection[str]) -> tuple[list[Model], list[str], list[str]]:
    """Refuses what can't be compared fairly.

    Args:
        models: as they were read
        folds: to be compared; if none are given, all that any model has
        allowed: keys of ``ALLOWANCES``

    Returns:
        the models with the runs that are compared, their folds, and notes on what is unusual

    Raises:
        ComparisonError: in a sentence that says what differs and what allows it.
    """
    notes: list[str] = []
    chosen = _folds(models, folds, allowed, notes)
    models = [_with_folds(model, chosen) for model in models]
    for model in models:
        _refuse("incomplete", _missing(model, chosen), allowed, notes)
    models, chosen = _complete(models, chosen)
    parts = [part for model in models for part in model.parts]
    first, *others = parts
    _check_labels(first, others)
    with_fingerprint = next((part for part in parts if part.fingerprint is not None), first)
    for other in others:
        _refuse("data", _other_data(with_fingerprint, other), allowed, notes)
        _refuse("plans", _other_plans(first, other), allowed, notes)
    for index, model in enumerate(models):  # with all before it: the first one may have no run cards
        problems = (_other_cases(before, model) for before in models[: index + 1])
        _refuse("splits", next(filter(None, problems), ""), allowed, notes)
    return models, chosen, notes


def _refuse(allowance: str, problem: str, allowed: Collection[str], notes: list[str]) -> None:
    if problem and allowance not in allowed:
        raise ComparisonError(f"{problem} To compare anyway, add: --allow {allowance}")
    if problem:
        notes.append(problem)


def _check_labels(first: Model, others: Sequence[Model]) -> None:
    for other in others:
        for key in ("labels", "regions_class_order"):
            ours, theirs = first.dataset.get(key), other.dataset.get(key)
            if ours != theirs:
                raise ComparisonError(
                    f"{first.name} and {other.name} have other {key} in their dataset.json, {ours} and {theirs}: their "
                    "scores are of other classes and can't be compared."
                )


def _other_data(ours: Model, theirs: Model) -> str:
    if ours.fingerprint is None or theirs.fingerprint is None or ours.fingerprint == theirs.fingerprint:
        return ""
    return f"{ours.name} and {theirs.name} were trained on different data: their dataset_fingerprint.json differ."


def _other_plans(ours: Model, theirs: Model) -> str:
    keys = (ours.configuration.keys() | theirs.configuration.keys()) - NO_CHOICE_OF_THE_PLAN
    differing = sorted(key for key in keys if ours.configuration.get(key) != theirs.configuration.get(key))
    if not differing:
        return ""
    return (
        f"{ours.name} and {theirs.name} were trained with different plans: {', '.join(differing)} of {ours.configuration_name} "
        "differ, so a difference may come from there instead of from the trainers."
    )


def _folds(models: Sequence[Model], folds: Sequence[str], allowed: Collection[str], notes: list[str]) -> list[str]:
    present = {fold for model in models for _, fold in model.runs}
    numbered = sorted((fold for fold in present if fold != "all"), key=int)
    chosen = list(folds) or numbered or sorted(present)
    if "all" in chosen:
        if len(chosen) > 1:
            raise ComparisonError("fold_all can't be compared together with other folds; name one of the two with -f.")
        problem = "fold_all has no validation cases of its own, it was trained on the cases that it is scored on."
        _refuse("fold_all", problem, allowed, notes)
    elif "all" in present:
        notes.append("fold_all is left out: it was trained on all cases.")
    return chosen


def _with_folds(model: Model, folds: Sequence[str]) -> Model:
    runs = {key: run for key, run in model.runs.items() if key[1] in folds}
    return replace(model, runs=runs or model.runs)


def _missing(model: Model, folds: Sequence[str]) -> str:
    repeats = sorted({repeat for repeat, _ in model.runs})
    missing = [key for key in ((repeat, fold) for repeat in repeats for fold in folds) if key not in model.finished]
    if not missing:
        return ""
    names = ", ".join(f"fold {fold}" + (f" of repeat {repeat}" if repeat else "") for repeat, fold in missing)
    return f"{model.name} lacks {names}: not trained, or its validation isn't finished."


def _complete(models: Sequence[Model], folds: Sequence[str]) -> tuple[list[Model], list[str]]:
    """The models with the folds that all of them have in repeat 0, or the first one they have, and the complete repeats."""
    firsts = {model.name: min((repeat for repeat, _ in model.finished), default=0) for model in models}
    common = [fold for fold in folds if all((firsts[model.name], fold) in model.finished for model in models)]
    if not common:
        raise ComparisonError(
            f"no fold of {', '.join(folds)} is finished in all of {', '.join(model.name for model in models)}."
        )
    complete = []
    for model in models:
        repeats = [repeat for repeat in {repeat for repeat, _ in model.runs} if _has(model, repeat, common)]
        runs = {key: run for key, run in model.runs.items() if key[0] in repeats and key[1] in common}
        complete.append(replace(model, runs=runs))
    return complete, common


def _has(model: Model, repeat: int, folds: Sequence[str]) -> bool:
    return all((repeat, fold) in model.finished for fold in folds)


def _other_cases(ours: Model, theirs: Model) -> str:
    for ((_, fold), one), ((_, fold_of_other), other) in product(ours.finished.items(), theirs.finished.items()):
        if fold != fold_of_other:
            continue
        different = sorted(one.scores.keys() ^ other.scores.keys())
        name = f"fold {fold} of {ours.name} and of {theirs.name}"
        if theirs is ours:
            name = f"repeats of fold {fold} of {ours.name}"
        if different:
            return f"{name} were validated on different cases ({len(different)} differ, {different[0]} for one)."
        hashes = {run.card.get("data", {}).get("split_sha256") for run in (one, other)} - {None}
        if len(hashes) > 1:
            return f"{name} were trained on different cases: their run cards have different splits."
    return ""

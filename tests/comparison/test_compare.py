"""Numbers that can be worked out by hand, on results folders that were never trained."""

import math

import numpy as np
import pytest

from nnunetv2_ext.comparison.compare import Comparison, compare
from nnunetv2_ext.comparison.reading import read_models
from nnunetv2_ext.comparison.scores import DICE, Metric
from nnunetv2_ext.errors import ComparisonError
from tests.comparison.results import CASES, CONFIGURATION, DATASET, NAN, write_run

A = {"0": [(0.8, 0.6), (0.9, 0.7), (0.7, NAN)], "1": [(0.6, 0.4), (0.5, 0.5), (0.4, 0.6)]}
GAIN = np.array([[0.1, 0.0], [0.05, 0.1], [0.02, 0.3], [0.2, -0.1], [0.03, 0.0], [0.0, 0.04]])


def _write(results, trainer, scores, **values) -> None:
    for fold, rows in scores.items():
        write_run(results, trainer, fold, dict(zip(CASES[fold], rows, strict=True)), **values)


def _plus(gain) -> dict:
    rows = iter(gain)
    return {fold: [tuple(np.add(row, next(rows))) for row in A[fold]] for fold in A}


def _compare(results, metric: Metric = DICE, reference: str = "A") -> Comparison:
    return compare(read_models([results], DATASET, CONFIGURATION), [metric], reference=reference)


@pytest.fixture
def results(tmp_path):
    _write(tmp_path, "A", A)
    _write(tmp_path, "B", _plus(GAIN))
    return tmp_path


def test_pooled_and_per_fold(results) -> None:
    estimates = _compare(results).entry("A").estimates["dice"]
    organ, lesion, foreground = (estimates[name] for name in ("1", "2", "foreground"))
    assert organ.pooled == pytest.approx(3.9 / 6)
    assert organ.per_fold == pytest.approx([0.8, 0.5])
    assert (organ.fold_mean, organ.fold_sd) == pytest.approx((0.65, 0.3 / math.sqrt(2)))
    assert lesion.pooled == pytest.approx(2.8 / 5)  # the case without lesion is left out, as nnU-Net does
    assert foreground.pooled == pytest.approx((3.9 / 6 + 2.8 / 5) / 2)
    assert foreground.per_fold == pytest.approx([(0.8 + 0.65) / 2, 0.5])
    assert foreground.difference is None


def test_differences_are_paired_by_case(results) -> None:
    estimates = _compare(results).entry("B").estimates["dice"]
    organ, lesion, foreground = (estimates[name].difference for name in ("1", "2", "foreground"))
    assert organ.per_case == pytest.approx(GAIN[:, 0])
    assert organ.mean == pytest.approx(GAIN[:, 0].mean())
    assert (organ.better, organ.worse, organ.left_out) == (5, 0, 0)
    assert lesion.mean == pytest.approx(np.delete(GAIN[:, 1], 2).mean())
    assert (lesion.better, lesion.worse, lesion.left_out) == (2, 1, 1)
    # where the lesion is undefined, the organ alone is the foreground
    assert foreground.per_case == pytest.approx([0.05, 0.075, 0.02, 0.05, 0.015, 0.02])
    assert foreground.low < foreground.mean < foreground.high
    assert foreground.p == foreground.p_holm == pytest.approx(2 / 2**6)


def test_p_values_are_corrected_for_the_number_of_models(results) -> None:
    _write(results, "C", _plus(-GAIN))
    comparison = _compare(results)
    for name in ("B", "C"):
        difference = comparison.entry(name).estimates["dice"]["foreground"].difference
        assert difference.p_holm == pytest.approx(2 * difference.p)
        organ = comparison.entry(name).estimates["dice"]["1"].difference
        assert (organ.p, organ.p_holm) == pytest.approx((2 / 2**5, 4 * 2 / 2**5))  # two classes of two models


def test_repeats_are_averaged_by_case_and_their_spread_is_said(results) -> None:
    _write(results, "B", _plus(GAIN + 0.1), repeat=1)
    comparison = _compare(results)
    entry = comparison.entry("B")
    foreground = entry.estimates["dice"]["foreground"]
    assert entry.repeats == 2
    assert foreground.difference.per_case == pytest.approx(np.array([0.05, 0.075, 0.02, 0.05, 0.015, 0.02]) + 0.05)
    assert foreground.per_repeat[1] - foreground.per_repeat[0] == pytest.approx(0.1)
    assert foreground.repeat_sd == pytest.approx(0.1 / math.sqrt(2))
    assert not any("trained once" in note for note in comparison.notes)


def test_where_less_is_better_a_smaller_value_wins(results) -> None:
    distance = Metric("distance", "Distance", 2, False, DICE.read)
    difference = _compare(results, distance).entry("B").estimates["distance"]["1"].difference
    assert (difference.better, difference.worse) == (0, 5)


def test_empty_cases_are_counted_and_said(results) -> None:
    notes = _compare(results).notes
    assert "Dice of A leaves out cases where truth and prediction are both empty: 1 of lesion." in notes
    assert any(note.startswith("Every fold was trained once.") for note in notes)


def test_the_same_scores_twice(results) -> None:
    _write(results, "Same", A)
    difference = _compare(results).entry("Same").estimates["dice"]["foreground"].difference
    assert (difference.mean, difference.low, difference.high, difference.p) == (0, 0, 0, 1)


def test_the_reference_comes_first_and_has_to_exist(results) -> None:
    assert [entry.name for entry in _compare(results, reference="B").entries] == ["B", "A"]
    with pytest.raises(ComparisonError, match="the reference Z is not among the models: A, B"):
        _compare(results, reference="Z")


def test_classes_have_their_names(tmp_path) -> None:
    labels = {"background": 0, "whole": [1, 2], "core": [2]}
    write_run(tmp_path, "A", "0", 0.5, labels=labels, classes=("(1, 2)", "(2,)"))
    assert _compare(tmp_path).classes == {"(1, 2)": "whole", "(2,)": "core"}


def test_costs_come_from_the_run_card_or_the_log(tmp_path) -> None:
    cost = {"epochs": 9, "seconds_per_epoch": 5.0, "peak_memory_bytes": 7, "peak_memory_is": "resident in RAM", "device": "cpu"}
    write_run(tmp_path, "Ours", "0", 0.5, card={"cost": cost, "network": {"parameters": 11}})
    write_run(tmp_path, "Theirs", "0", 0.5)
    comparison = _compare(tmp_path, reference="Ours")
    ours, theirs = comparison.entry("Ours").cost, comparison.entry("Theirs").cost
    assert (ours.parameters, ours.epochs, ours.seconds_per_epoch, ours.peak_memory_bytes) == (11, 9, 5.0, 7)
    assert (theirs.parameters, theirs.epochs, theirs.seconds_per_epoch) == (None, 3, 11.0)
    assert "Trained on cpu." in comparison.notes

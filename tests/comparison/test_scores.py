"""Means over cases, folds and repeats, by hand."""

from types import SimpleNamespace

import numpy as np

from nnunetv2_ext.comparison.scores import DICE, Scores, cases_of, classes_of, score

NAN = float("nan")


def run(**cases: tuple[float, float]) -> SimpleNamespace:
    return SimpleNamespace(scores={case: {"1": {"Dice": a}, "2": {"Dice": b}} for case, (a, b) in cases.items()})


FINISHED = {
    (0, "0"): run(a=(0.5, 0.8), b=(0.7, NAN)),
    (1, "0"): run(a=(0.7, 0.6), b=(0.9, NAN)),
    (0, "1"): run(c=(1.0, NAN)),
    (1, "1"): run(c=(0.8, 0.4)),
}
MODEL = SimpleNamespace(finished=FINISHED, dataset={"labels": {"background": 0, "front": 1, "whole": [1, 2], "back": 2}})


def scores() -> Scores:
    return score(MODEL, DICE, cases_of([MODEL]), ["1", "2"])


def test_cases_come_fold_by_fold():
    assert cases_of([MODEL]) == [("0", "a"), ("0", "b"), ("1", "c")]


def test_cases_are_those_that_all_runs_have():
    other = SimpleNamespace(finished={(0, "0"): run(b=(0.1, 0.1), d=(0.1, 0.1)), (0, "1"): FINISHED[0, "1"]})
    assert cases_of([MODEL, other]) == [("0", "b"), ("1", "c")]


def test_classes_have_the_names_of_the_dataset():
    assert classes_of([MODEL]) == {"1": "front", "2": "back"}


def test_pooled_is_the_mean_over_defined_cases_of_each_repeat():
    np.testing.assert_allclose(scores().pooled, [[(0.5 + 0.7 + 1.0) / 3, 0.8], [(0.7 + 0.9 + 0.8) / 3, (0.6 + 0.4) / 2]])


def test_per_fold_averages_each_repeat_before_the_repeats():
    np.testing.assert_allclose(scores().per_fold, [[(0.6 + 0.8) / 2, (0.8 + 0.6) / 2], [0.9, 0.4]])


def test_per_case_averages_repeats_and_stays_undefined_where_none_is():
    np.testing.assert_allclose(scores().per_case, [[0.6, 0.7], [0.8, NAN], [0.9, 0.4]])

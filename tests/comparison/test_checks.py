import copy
import json

import pytest

from nnunetv2_ext.comparison.checks import ALLOWANCES, check
from nnunetv2_ext.comparison.reading import read_models
from nnunetv2_ext.errors import ComparisonError
from tests.comparison.results import CASES, CONFIGURATION, DATASET, PLANS, write_run


def _checked(results, folds=(), allowed=()):
    return check(read_models([results], DATASET, CONFIGURATION), folds, allowed)


@pytest.fixture
def results(tmp_path):
    """Two folds of one trainer; the tests add a second one that differs."""
    for fold in CASES:
        write_run(tmp_path, "A", fold, 0.5)
    return tmp_path


def test_what_is_alike_passes(results) -> None:
    for fold in CASES:
        write_run(results, "B", fold, 0.6)
    models, folds, notes = _checked(results)
    assert [sorted(model.finished) for model in models] == [[(0, "0"), (0, "1")]] * 2
    assert folds == ["0", "1"]
    assert notes == []


def _other_labels(results) -> None:
    write_run(results, "B", "0", 0.5, labels={"background": 0, "organ": 1})


def _other_data(results) -> None:
    for fold in CASES:
        write_run(results, "B", fold, 0.5, fingerprint="other data")


def _other_plans(results) -> None:
    for fold in CASES:
        write_run(results, "B", fold, 0.5, plans=_other(PLANS))


def _a_fold_less(results) -> None:
    write_run(results, "B", "0", 0.5)
    write_run(results, "B", "1", 0.5, finished=False)


def _other_cases(results) -> None:
    write_run(results, "B", "0", 0.5)
    write_run(results, "B", "1", {"case_1.1": (0.5, 0.5), "case_1.2": (0.5, 0.5), "new": (0.5, 0.5)})


def _other_training_cases(results) -> None:
    for trainer, split in (("B", "a"), ("C", "b")):
        for fold in CASES:
            write_run(results, trainer, fold, 0.5, card={"data": {"split_sha256": split}})


@pytest.mark.parametrize(
    ("make", "message", "allowance"),
    [
        (_other_data, "A and B were trained on different data", "data"),
        (_other_plans, "A and B were trained with different plans: patch_size of 3d_fullres differ", "plans"),
        (_a_fold_less, r"B lacks fold 1: not trained, or its validation isn't finished\.", "incomplete"),
        (_other_cases, r"fold 1 of A and of B were validated on different cases \(2 differ, case_1\.3 for one\)", "splits"),
    ],
)
def test_what_is_unfair_is_refused_unless_it_is_allowed(results, make, message, allowance) -> None:
    make(results)
    with pytest.raises(ComparisonError, match=f"{message}.*--allow {allowance}"):
        _checked(results)
    _, folds, notes = _checked(results, allowed=[allowance])
    assert len(notes) == 1
    assert folds == (["0"] if allowance == "incomplete" else ["0", "1"])


def _other(plans):
    other = copy.deepcopy(plans)
    other["configurations"]["3d_fullres"]["patch_size"] = [32, 32, 32]
    return other


@pytest.mark.parametrize(
    ("made", "message", "allowance"),
    [
        ({"fingerprint": "other data"}, "were trained on different data", "data"),
        ({"plans": _other(PLANS)}, "were trained with different plans: patch_size of 3d_fullres differ", "plans"),
    ],
)
def test_a_repeat_that_was_trained_otherwise_is_refused_unless_it_is_allowed(results, made, message, allowance) -> None:
    for fold in CASES:
        write_run(results, "A", fold, 0.5, repeat=1, **made)
    with pytest.raises(ComparisonError, match=f"A in {results} and A in {results}/repeat_1 {message}.*--allow {allowance}"):
        _checked(results)
    assert len(_checked(results, allowed=[allowance])[2]) == 1


def test_folds_from_a_second_results_folder_are_checked_if_they_are_compared(tmp_path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    write_run(folders[0], "A", "0", 0.5)
    write_run(folders[1], "A", "1", 0.5, plans=_other(PLANS))
    models = read_models(folders, DATASET, CONFIGURATION)
    with pytest.raises(ComparisonError, match=r"A in .*/one and A in .*/two were trained with different plans"):
        check(models, [], [])
    assert check(models, ["0"], [])[1:] == (["0"], [])


def test_repeats_with_other_classes_are_refused_always(results) -> None:
    for fold in CASES:
        write_run(results, "A", fold, 0.5, repeat=1, labels={"background": 0, "organ": 1})
    with pytest.raises(ComparisonError, match=r"repeat_1 have other labels in their dataset\.json"):
        _checked(results, allowed=list(ALLOWANCES))


def test_repeats_with_other_cases_are_refused_unless_it_is_allowed(results) -> None:
    write_run(results, "A", "0", 0.5, repeat=1)
    write_run(results, "A", "1", {"case_1.1": (0.5, 0.5), "new": (0.5, 0.5)}, repeat=1)
    for fold in CASES:
        write_run(results, "B", fold, 0.5)
    with pytest.raises(ComparisonError, match=r"repeats of fold 1 of A were validated on different cases.*--allow splits"):
        _checked(results)
    _checked(results, allowed=["splits"])


def test_other_training_cases_are_refused(tmp_path) -> None:
    _other_training_cases(tmp_path)
    with pytest.raises(ComparisonError, match="fold 0 of B and of C were trained on different cases"):
        _checked(tmp_path)


def test_other_training_cases_are_refused_behind_a_trainer_without_run_cards(results) -> None:
    _other_training_cases(results)
    with pytest.raises(ComparisonError, match=r"fold 0 of B and of C were trained on different cases.*--allow splits"):
        _checked(results)
    assert len(_checked(results, allowed=["splits"])[2]) == 1


def test_repeats_with_other_training_cases_are_refused(results) -> None:
    for repeat, card in enumerate(({"data": {"split_sha256": "a"}}, {"data": {"split_sha256": "b"}}, None)):
        for fold in CASES:
            write_run(results, "B", fold, 0.5, repeat=repeat, card=card)
    with pytest.raises(ComparisonError, match="repeats of fold 0 of B were trained on different cases"):
        _checked(results)


def test_other_data_are_refused_behind_a_trainer_without_a_fingerprint(results) -> None:
    for trainer in ("B", "C"):
        for fold in CASES:
            write_run(results, trainer, fold, 0.5, fingerprint=trainer)
    next(results.rglob("A__*/dataset_fingerprint.json")).unlink()
    with pytest.raises(ComparisonError, match=r"B and C were trained on different data.*--allow data"):
        _checked(results)


def test_other_classes_are_refused_always(results) -> None:
    _other_labels(results)
    with pytest.raises(ComparisonError, match=r"have other labels in their dataset\.json"):
        _checked(results, allowed=list(ALLOWANCES))


def test_a_repeat_that_lacks_folds_is_refused_or_left_out(results) -> None:
    write_run(results, "A", "0", 0.7, repeat=1)
    with pytest.raises(ComparisonError, match="A lacks fold 1 of repeat 1"):
        _checked(results)
    models, folds, _ = _checked(results, allowed=["incomplete"])
    assert folds == ["0", "1"]
    assert sorted(models[0].finished) == [(0, "0"), (0, "1")]


def test_only_the_folds_that_are_asked_for_have_to_be_there(results) -> None:
    _a_fold_less(results)
    assert _checked(results, folds=["0"])[1] == ["0"]


def test_fold_all_is_refused_unless_it_is_allowed(tmp_path) -> None:
    write_run(tmp_path, "A", "all", {"case": (0.5, 0.5)})
    with pytest.raises(ComparisonError, match=r"fold_all has no validation cases of its own.*--allow fold_all"):
        _checked(tmp_path)
    assert _checked(tmp_path, allowed=["fold_all"])[1] == ["all"]


def test_fold_all_beside_other_folds_is_left_out(results) -> None:
    write_run(results, "A", "all", {"case": (0.5, 0.5)})
    assert _checked(results)[1:] == (["0", "1"], ["fold_all is left out: it was trained on all cases."])


def test_nothing_in_common_is_said(results) -> None:
    write_run(results, "B", "0", 0.5, finished=False)
    with pytest.raises(ComparisonError, match="no fold of 0, 1 is finished in all of A, B"):
        _checked(results, allowed=["incomplete"])


def test_repeats_may_begin_with_another_than_the_first(tmp_path) -> None:
    for fold in CASES:
        write_run(tmp_path, "A", fold, 0.5)
        write_run(tmp_path, "B", fold, 0.6, repeat=1)
    assert [sorted(model.finished) for model in _checked(tmp_path)[0]] == [[(0, "0"), (0, "1")], [(1, "0"), (1, "1")]]


def test_fold_all_is_not_mixed_with_other_folds(tmp_path) -> None:
    write_run(tmp_path, "A", "0", 0.5)
    write_run(tmp_path, "A", "all", {"case": (0.5, 0.5)})
    with pytest.raises(ComparisonError, match="together with other folds"):
        _checked(tmp_path, folds=["0", "all"], allowed=["fold_all"])


def test_another_order_of_regions_is_refused(results) -> None:
    for fold in CASES:
        file = write_run(results, "B", fold, 0.5).parent / "dataset.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "regions_class_order": [2, 1]}))
    with pytest.raises(ComparisonError, match="other regions_class_order"):
        _checked(results)

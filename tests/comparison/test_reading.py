import pytest

from nnunetv2_ext.comparison.reading import read_models
from nnunetv2_ext.errors import ComparisonError, DatasetError
from tests.comparison.results import CASES, CONFIGURATION, DATASET, write_run


def test_reads_every_trainer_fold_and_repeat(tmp_path) -> None:
    for fold in CASES:
        write_run(tmp_path, "nnUNetTrainer", fold, 0.5)
        write_run(tmp_path, "Their_Trainer", fold, 0.5, card={"cost": {}})
    write_run(tmp_path, "nnUNetTrainer", "0", 0.5, repeat=3)
    models = read_models([tmp_path], DATASET, CONFIGURATION)
    assert [model.name for model in models] == ["Their_Trainer", "nnUNetTrainer"]
    assert list(models[1].finished) == [(0, "0"), (0, "1"), (3, "0")]
    run = models[1].finished[0, "0"]
    assert list(run.scores) == CASES["0"]
    assert run.scores["case_0.1"]["1"]["Dice"] == 0.5
    assert run.card == {}
    assert models[0].finished[0, "0"].card == {"cost": {}}
    assert run.prediction("case_0.1").name == "case_0.1.nii.gz"
    assert [epoch.seconds for epoch in run.epochs.values()] == [10.0, 11.0, 12.0]


def test_trainers_come_in_the_order_that_they_are_asked_for(tmp_path) -> None:
    for trainer in ("A", "B", "C"):
        write_run(tmp_path, trainer, "0", 0.5)
    assert [model.name for model in read_models([tmp_path], DATASET, CONFIGURATION, ["C", "A"])] == ["C", "A"]


def test_a_summary_that_was_cut_off_is_no_finished_run(tmp_path) -> None:
    folder = write_run(tmp_path, "A", "0", 0.5)
    (folder / "validation" / "summary.json").write_text('{"metric_per')
    assert read_models([tmp_path], DATASET, CONFIGURATION)[0].finished == {}


def test_a_fold_that_was_renamed_is_no_run(tmp_path) -> None:
    folder = write_run(tmp_path, "A", "0", 0.5)
    folder.rename(folder.with_name("fold_0_old"))
    write_run(tmp_path, "A", "0", 0.6)
    write_run(tmp_path, "A", "all", {"case": (0.5, 0.5)})
    assert sorted(read_models([tmp_path], DATASET, CONFIGURATION)[0].runs) == [(0, "0"), (0, "all")]


def test_what_is_missing_is_said(tmp_path) -> None:
    write_run(tmp_path, "A", "0", 0.5)
    with pytest.raises(ComparisonError, match=r"no run of B with nnUNetPlans and 3d_fullres\. Trainers .*: A"):
        read_models([tmp_path], DATASET, CONFIGURATION, ["A", "B"])
    with pytest.raises(ComparisonError, match="has no run of 2d with nnUNetPlans; -c and -p name them"):
        read_models([tmp_path], DATASET, "2d")


def test_plans_that_are_missing_are_said(tmp_path) -> None:
    write_run(tmp_path, "A", "0", 0.5)
    message = r"no run of 3d_fullres with Other by A; .*\. Runs that are there: A with nnUNetPlans and 3d_fullres\."
    with pytest.raises(ComparisonError, match=message):
        read_models([tmp_path], DATASET, CONFIGURATION, ["A"], ["nnUNetPlans", "Other"])


def test_one_run_in_two_results_folders_is_refused(tmp_path) -> None:
    for root in ("one", "two"):
        write_run(tmp_path / root, "A", "0", 0.5)
    with pytest.raises(ComparisonError, match="are the same fold of the same trainer"):
        read_models([tmp_path / "one", tmp_path / "two"], DATASET, CONFIGURATION)


def test_a_configuration_has_what_it_inherits(tmp_path) -> None:
    write_run(tmp_path, "A", "0", 0.5)
    model = read_models([tmp_path], DATASET, CONFIGURATION)[0]
    model.configuration_name = "3d_cascade_fullres"
    assert model.configuration["patch_size"] == [16, 16, 16]
    assert model.configuration["previous_stage"] == "3d_lowres"


@pytest.mark.parametrize("name", ["plans", "dataset", "dataset_fingerprint"])
def test_a_damaged_description_is_named(tmp_path, name) -> None:
    file = write_run(tmp_path, "A", "0", 0.5).parent / f"{name}.json"
    file.write_text('{"lab')
    (model,) = read_models([tmp_path], DATASET, CONFIGURATION)
    with pytest.raises(DatasetError, match=f"{name}.json is no valid JSON.*restore it"):
        _ = model.configuration, model.dataset, model.fingerprint


def test_a_damaged_run_card_is_none(tmp_path) -> None:
    (write_run(tmp_path, "A", "0", 0.5, card={"cost": {}}) / "run_card.json").write_text('{"cost')
    (model,) = read_models([tmp_path], DATASET, CONFIGURATION)
    assert model.finished[0, "0"].card == {}

import json
import shutil

import pytest

from nnunetv2_ext.errors import DatasetError, PlanError, UnknownTrainerError
from nnunetv2_ext.sweeping.grid import runs_needed_by, runs_of_grid, write_split
from tests.tiny import NAME, SPLITS, make_tiny_dataset


@pytest.fixture
def preprocessed(tmp_path, monkeypatch):
    """A dataset whose preprocessed files are empty."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    make_tiny_dataset(tmp_path / "nnUNet_raw", tmp_path / "nnUNet_preprocessed", preprocess=False)
    folder = tmp_path / "nnUNet_preprocessed" / NAME
    shutil.rmtree(folder / "gt_segmentations")
    for name, ending in (("nnUNetPlans_3d_fullres", ".b2nd"), ("gt_segmentations", ".nii.gz")):
        (folder / name).mkdir()
        for number in range(7):
            (folder / name / f"case_{number}{ending}").touch()
    return folder


def _grid(trainers=("nnUNetTrainer",), configurations=("3d_fullres",), folds=("0",), repeats=1):
    return runs_of_grid("8", trainers, "nnUNetPlans", configurations, folds, repeats)


@pytest.mark.usefixtures("preprocessed")
def test_everything_with_everything_one_repeat_after_the_other() -> None:
    runs = _grid(("nnUNetTrainer", "nnUNetTrainerEGE"), folds=("0", "1"), repeats=2)
    assert [(run.repeat, run.fold, run.trainer) for run in runs[:3]] == [
        (0, "0", "nnUNetTrainer"),
        (0, "0", "nnUNetTrainerEGE"),
        (0, "1", "nnUNetTrainer"),
    ]
    assert len(set(runs)) == 8
    assert [run.repeat for run in runs] == [0] * 4 + [1] * 4


def test_what_nnunet_would_stumble_over_is_said_beforehand(preprocessed) -> None:
    with pytest.raises(UnknownTrainerError, match="nnUNetTrainerEGE"):
        _grid(("nnUNetTrainerEGEE",))
    with pytest.raises(PlanError, match="there is no configuration 2d, only 3d_fullres"):
        _grid(configurations=("2d",))
    for file in (preprocessed / "nnUNetPlans_3d_fullres").iterdir():
        file.unlink()
    cure = f"Run: nnUNetv2_preprocess -d {NAME} -plans_name nnUNetPlans -c 3d_fullres"
    with pytest.raises(DatasetError, match=f"is empty. {cure}"):
        _grid()
    (preprocessed / "nnUNetPlans_3d_fullres").rmdir()
    with pytest.raises(DatasetError, match=f"does not exist. {cure}"):
        _grid()


@pytest.mark.usefixtures("preprocessed")
def test_json_that_is_no_plans_is_said() -> None:
    with pytest.raises(PlanError, match="no plans_name; there is no configuration 3d_fullres, only none"):
        runs_of_grid("8", ["nnUNetTrainer"], "dataset", ["3d_fullres"], ["0"], 1)


def test_a_stray_file_among_the_data_is_said(preprocessed) -> None:
    (preprocessed / "nnUNetPlans_3d_fullres" / ".DS_Store").touch()
    with pytest.raises(DatasetError, match=r"nnUNetPlans_3d_fullres has \.DS_Store, with which nnU-Net can't tell"):
        _grid()


@pytest.mark.usefixtures("preprocessed")
def test_what_is_named_twice_is_trained_once() -> None:
    assert len(_grid(("nnUNetTrainer", "nnUNetTrainer"), folds=("0", "1", "0"), repeats=2)) == 4


def test_a_cascade_needs_all_folds_of_its_first_stage(preprocessed) -> None:
    file = preprocessed / "nnUNetPlans.json"
    plans = json.loads(file.read_text())
    plans["configurations"]["3d_lowres"] = {"inherits_from": "3d_fullres", "next_stage": "3d_cascade_fullres"}
    plans["configurations"]["3d_cascade_fullres"] = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    file.write_text(json.dumps(plans))
    runs = _grid(("nnUNetTrainer", "nnUNetTrainerEGE"), ("3d_lowres", "3d_cascade_fullres"), ("0", "1"), 2)
    cascade = next(run for run in runs if run.configuration == "3d_cascade_fullres" and run.repeat == 1)
    needed = runs_needed_by(cascade, runs)
    assert [(run.trainer, run.configuration, run.fold, run.repeat) for run in needed] == [
        ("nnUNetTrainer", "3d_lowres", "0", 1),
        ("nnUNetTrainer", "3d_lowres", "1", 1),
    ]
    assert runs_needed_by(needed[0], runs) == []


def test_the_split_is_that_of_nnunet_and_only_written_if_there_is_none(preprocessed) -> None:
    from nnunetv2.utilities.crossval_split import generate_crossval_split

    run = _grid()[0]
    splits = preprocessed / "splits_final.json"
    write_split(run)
    assert json.loads(splits.read_text()) == SPLITS
    splits.unlink()
    write_split(run)
    cases = [f"case_{number}" for number in range(7)]
    assert json.loads(splits.read_text()) == json.loads(json.dumps(generate_crossval_split(cases), default=str))


def test_fewer_cases_than_folds_are_refused(preprocessed) -> None:
    run = _grid()[0]
    (preprocessed / "splits_final.json").unlink()
    for number in range(3):
        (preprocessed / "nnUNetPlans_3d_fullres" / f"case_{number}.b2nd").unlink()
        (preprocessed / "gt_segmentations" / f"case_{number}.nii.gz").unlink()
    with pytest.raises(DatasetError, match="has 4 cases, too few for nnU-Net's 5 folds: train with -f all"):
        write_split(run)


def test_no_split_is_made_of_data_whose_preprocessing_was_stopped(preprocessed) -> None:
    run = _grid()[0]
    (preprocessed / "splits_final.json").unlink()
    (preprocessed / "nnUNetPlans_3d_fullres" / "case_3.b2nd").unlink()
    with pytest.raises(DatasetError, match="has 6 cases and lacks 1 of which there is a ground truth, case_3 for one"):
        write_split(run)
    shutil.rmtree(preprocessed / "gt_segmentations")
    with pytest.raises(DatasetError, match="has no gt_segmentations, which nnU-Net makes last"):
        write_split(run)
    assert not (preprocessed / "splits_final.json").exists()

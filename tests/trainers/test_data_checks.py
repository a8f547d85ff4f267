"""Trainers say what is wrong before the training, in a sentence with a cure, and leave what is there as it is."""

import os
import shutil
from copy import deepcopy
from pathlib import Path

import pytest

from nnunetv2_ext.errors import DatasetError, InputSizeError, PlanError
from nnunetv2_ext.trainers.data_checks import check_arguments
from tests.plans import CONFIGURATIONS
from tests.trainers.runs import LABELS, make_trainer

GAP = {"background": 0, "organ": 2}


def change(monkeypatch, **changes):
    """The tiny plan with something else in its arch_kwargs, or in the configuration; without it where it is None."""
    configuration = deepcopy(CONFIGURATIONS["3d"])
    architecture = configuration["architecture"]["arch_kwargs"]
    for name, value in changes.items():
        place = architecture if name in architecture else configuration
        place[name] = value
        if value is None:
            del place[name]
    monkeypatch.setitem(CONFIGURATIONS, "3d", configuration)


def test_a_patch_that_the_network_can_not_be_trained_on_is_refused_before_any_worker_starts(tmp_path, monkeypatch):
    change(monkeypatch, patch_size=[4, 4, 4])
    with pytest.raises(InputSizeError, match="coarsest feature map has one position"):
        make_trainer("nnUNetTrainerEGE", tmp_path, monkeypatch).initialize()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"strides": [[1, 1, 1], [2, 0, 2], [2, 2, 2]]}, PlanError, r"strides has the entry \[2, 0, 2\], need whole numbers"),
        ({"strides": [[1, 1, 1], [2, 2], [2, 2, 2]]}, PlanError, "need one number per axis"),
        ({"strides": None}, PlanError, "missing strides"),
        ({"n_stages": "three"}, PlanError, "n_stages is 'three', need a whole number"),
        ({"kernel_sizes": [[3, 3, 3], [2, 3, 3], [3, 3, 3]]}, PlanError, r"kernel_sizes has the entry \[2, 3, 3\], need odd"),
        ({"features_per_stage": [8, -16, 16]}, PlanError, "features_per_stage has the entry -16"),
        ({"conv_op": "torch.nn.Conv9d"}, PlanError, "conv_op is None, need torch.nn.Conv2d or torch.nn.Conv3d"),
        ({"norm_op": "torch.nn.Linear"}, PlanError, "can't be built from this plan .*eps.*Check its arch_kwargs"),
        ({"norm_op_kwargs": {"nonsense": 1}}, PlanError, "can't be built from this plan .*nonsense.*Check its arch_kwargs"),
        ({"patch_size": [18, 16, 16]}, InputSizeError, r"size \(18, 16, 16\), need each axis divisible by \(4, 4, 4\)"),
        ({"patch_size": [16, 16]}, PlanError, r"spacing is \[1.0, 1.0, 1.0\], need 2 positive numbers"),
        ({"batch_size": 0}, PlanError, "batch_size is 0"),
        ({"spacing": [1, 1, 0]}, PlanError, r"spacing is \[1, 1, 0\]"),
        ({"architecture": None}, PlanError, "no architecture"),
        ({"architecture": {"network_class_name": "a.b", "arch_kwargs": {}}}, PlanError, "_kw_requires_import is None"),
        ({"inherits_from": "4d"}, PlanError, "there is no configuration 4d, only 2d, 3d"),
    ],
)
def test_a_plan_that_no_network_can_be_built_from_is_refused(changes, error, message, tmp_path, monkeypatch):
    change(monkeypatch, **changes)
    with pytest.raises(error, match=message):
        make_trainer("nnUNetTrainerEGE", tmp_path, monkeypatch).initialize()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"background": 0, "nothing": []}, "dataset.json: region nothing names no class"),
        ({"organ": 1}, 'dataset.json: no label "background"'),
        (GAP, "dataset.json: the labels are 0, 2: number them"),
        ({**LABELS, "both": [1, 2]}, "dataset.json: regions_class_order is None: need 3 labels"),
    ],
)
def test_labels_that_can_not_be_trained_are_refused(labels, message, tmp_path, monkeypatch):
    with pytest.raises(DatasetError, match=message):
        make_trainer("nnUNetTrainerEGE", tmp_path, monkeypatch, labels=labels)


def check_with_results(folder, monkeypatch):
    monkeypatch.setenv("nnUNet_results", str(folder))
    plans = {"dataset_name": "a", "plans_name": "b", "configurations": CONFIGURATIONS}
    check_arguments("nnUNetTrainerEGE", plans, "3d", 0, {"channel_names": {"0": "CT"}, "labels": LABELS, "file_ending": ".png"})


def test_results_that_are_not_set_are_said(monkeypatch):
    with pytest.raises(DatasetError, match="nnUNet_results is not set: export nnUNet_results=FOLDER"):
        check_with_results("", monkeypatch)


def test_results_that_are_a_file_are_refused(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match=r"fold_0 can't be used as a folder: .*file is a file. Move that away"):
        check_with_results(tmp_path / "file" / "results", monkeypatch)


def test_results_that_are_read_only_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != tmp_path)  # root may write everywhere
    with pytest.raises(DatasetError, match=r"fold_0 can't be written to: .* is read-only for you"):
        check_with_results(tmp_path / "results", monkeypatch)


def test_a_run_s_own_folder_counts_not_that_of_all_results(tmp_path, monkeypatch):
    folder = tmp_path / "a"
    folder.mkdir()
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) == folder)
    check_with_results(tmp_path, monkeypatch)
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != folder)
    with pytest.raises(DatasetError, match=r"fold_0 can't be written to: .*/a is read-only for you"):
        check_with_results(tmp_path, monkeypatch)


def test_results_that_are_yet_to_be_made_are_fine(tmp_path, monkeypatch):
    check_with_results(tmp_path / "not yet" / "results", monkeypatch)


def test_a_run_in_folders_with_spaces(tmp_path, monkeypatch):
    folder = tmp_path / "with spaces"
    folder.mkdir()
    trainer = make_trainer("nnUNetTrainerEGEUNet", folder, monkeypatch)
    trainer.initialize()
    file = f"{trainer.output_folder}/checkpoint_final.pth"
    trainer.save_checkpoint(file)
    trainer.load_checkpoint(file)


@pytest.fixture
def with_data(tmp_path, monkeypatch):
    """A trainer of which the preprocessed data can be damaged."""
    trainer = make_trainer("nnUNetTrainerEGEUNet", tmp_path, monkeypatch)
    folder = Path(trainer.preprocessed_dataset_folder)
    for name in ("case", "other"):
        for file in (f"{name}.b2nd", f"{name}_seg.b2nd", f"{name}.pkl"):
            (folder / file).write_text("data")
    (folder.parent / "splits_final.json").write_text('[{"train": ["case"], "val": ["other"]}]')
    return trainer


def test_data_that_is_whole_is_taken(with_data):
    with_data.initialize()
    assert [list(dataset.identifiers) for dataset in with_data.get_tr_and_val_datasets()] == [["case"], ["other"]]


@pytest.mark.parametrize("gone", [True, False])
def test_no_preprocessed_data_is_refused(gone, with_data):
    folder = Path(with_data.preprocessed_dataset_folder)
    shutil.rmtree(folder)
    if not gone:
        folder.mkdir()
    state = "does not exist" if gone else "is empty"
    with pytest.raises(
        DatasetError, match=rf"nnUNetPlans_3d, the preprocessed data of 3d, {state}. Run: nnUNetv2_preprocess -d"
    ):
        with_data.initialize()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "../splits_final.json",
            '[{"train": ["ca',
            r"splits_final.json is no valid JSON, it may be cut off .*nnU-Net makes a new one",
        ),
        ("../splits_final.json", "{}", "splits_final.json should hold a list and holds dict"),
        (
            "../splits_final.json",
            '[{"train": ["case"], "val": ["x"]}]',
            r"names 1 cases that .*nnUNetPlans_3d lacks, x for one",
        ),
        ("case.b2nd", "", r"1 files in .*nnUNetPlans_3d are empty, case.b2nd for one.*Preprocess"),
        ("other_seg.b2nd", "", r"are empty, other_seg.b2nd for one"),
    ],
)
def test_damaged_data_is_refused(file, content, message, with_data):
    with_data.initialize()
    damaged = Path(with_data.preprocessed_dataset_folder, file)
    damaged.write_text(content)
    with pytest.raises(DatasetError, match=message):
        with_data.get_tr_and_val_datasets()
    assert damaged.read_text() == content


def test_a_cascade_without_its_first_stage_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(CONFIGURATIONS, "3d_cascade", {**CONFIGURATIONS["3d"], "previous_stage": "3d"})
    trainer = make_trainer("nnUNetTrainerEGEUNet", tmp_path, monkeypatch, plan="3d_cascade")
    trainer.initialize()
    monkeypatch.setattr(trainer, "do_split", lambda: (["case"], ["case"]))
    with pytest.raises(DatasetError, match=r"predicted in 3d, and .* lacks 1 cases, case for one. Train all folds of 3d"):
        trainer.get_tr_and_val_datasets()
    predicted = Path(trainer.folder_with_segs_from_previous_stage)
    predicted.mkdir(parents=True)
    (predicted / "case.b2nd").touch()
    assert [list(dataset.identifiers) for dataset in trainer.get_tr_and_val_datasets()] == [["case"], ["case"]]


def test_no_split_is_made_of_data_whose_preprocessing_was_stopped(with_data):
    with_data.initialize()
    folder = Path(with_data.preprocessed_dataset_folder).parent
    (folder / "splits_final.json").unlink()
    with pytest.raises(DatasetError, match="has no gt_segmentations, which nnU-Net makes last"):
        with_data.get_tr_and_val_datasets()
    (folder / "gt_segmentations").mkdir()
    (folder / "gt_segmentations" / "third.nii.gz").touch()
    (folder / "dataset.json").write_text('{"file_ending": ".nii.gz"}')
    with pytest.raises(DatasetError, match="has 2 cases and lacks 1 of which there is a ground truth, third for one"):
        with_data.get_tr_and_val_datasets()
    assert not (folder / "splits_final.json").exists()

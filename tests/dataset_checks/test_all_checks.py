"""``doctor -d`` on a dataset in which one thing is wrong: it names the file and the cure, and changes nothing."""

import pickle
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from nnunetv2_ext.dataset_checks.all_checks import dataset_checks
from nnunetv2_ext.errors import DatasetError
from tests.dataset_checks.faults import MODEL, NAME, cut_off, describe, plan, zip_up
from tests.inspection.hostile import Touch, checkpoint

NO_CLASS = {"background": 0, "whole": [1, 2], "nothing": []}
REGIONS = {"background": 0, "whole": [1, 2], "core": [2]}

# what is done to the dataset, and what has to be said about it, with "..." for whatever is between
RAW = {
    "dataset.json missing": (lambda d: (d.raw / "dataset.json").unlink(), "dataset.json doesn't exist. Write it"),
    "dataset.json cut off": (lambda d: cut_off(d.raw / "dataset.json"), "dataset.json is no valid JSON"),
    "dataset.json a list": (lambda d: d.write("raw/dataset.json", []), "dataset.json should hold an object and holds list"),
    "dataset.json no text": (lambda d: (d.raw / "dataset.json").write_bytes(b"\xff\xfe\x00"), "dataset.json is no valid JSON"),
    "no channels": (describe(channel_names=None), 'no channel_names: add for instance {"0": "CT"}'),
    "no labels": (describe(labels=None), "no labels: add for instance"),
    "labels a list": (describe(labels=["organ"]), "no labels: add for instance"),
    "no background": (describe(labels={"organ": 1}), 'no label "background" with the value 0'),
    "a label that is text": (describe(labels={"background": 0, "organ": "one"}), "label organ is 'one': need a whole number"),
    "a gap in the labels": (describe(labels={"background": 0, "organ": 1, "lesion": 3}), "the labels are 0, 1, 3: number them"),
    "a region of no class": (describe(labels=NO_CLASS, regions_class_order=[1, 2]), "region nothing names no class"),
    "regions without order": (describe(labels=REGIONS), "regions_class_order is None: need 2 labels"),
    "regions with a short order": (
        describe(labels=REGIONS, regions_class_order=[1]),
        "regions_class_order is [1]: need 2 labels",
    ),
    "ignore label too low": (describe(labels={"background": 0, "a": 1, "ignore": 1}), "the ignore label is 1: need... 2"),
    "no file ending": (describe(file_ending=None), "no file_ending: add"),
    "another file ending": (describe(file_ending=".nrrd"), "has no training case: imagesTr holds no file CASE_0000.nrrd"),
    "another number of cases": (describe(numTraining=3), 'says 3, there are 2 cases...write "numTraining": 2'),
    "no images": (lambda d: shutil.rmtree(d.raw / "imagesTr"), "has no training case"),
    "an image missing": (lambda d: (d.raw / "imagesTr/a_0001.nii.gz").unlink(), "a_0001.nii.gz is missing:...names 2 channels"),
    "a label image missing": (lambda d: (d.raw / "labelsTr/b.nii.gz").unlink(), "labelsTr/b.nii.gz is missing"),
    "a label image too many": (
        lambda d: d.image("labelsTr/c", np.zeros((3, 4, 5), np.uint8)),
        "c.nii.gz for one...nnU-Net doesn't use them",
    ),
    "an image cut off": (lambda d: cut_off(d.raw / "imagesTr/a_0000.nii.gz"), "a_0000.nii.gz can't be read: it is damaged"),
    "an image empty": (lambda d: (d.raw / "imagesTr/b_0000.nii.gz").write_bytes(b""), "b_0000.nii.gz can't be read"),
    "a label image that is text": (lambda d: (d.raw / "labelsTr/a.nii.gz").write_text("no"), "a.nii.gz can't be read"),
    "a channel too many": (
        lambda d: d.image("imagesTr/a_0002", np.zeros((3, 4, 5), np.float32)),
        "a.nii.gz has images with 3 channels, dataset.json names 2...name all of them in dataset.json",
    ),
    "shapes that differ": (
        lambda d: d.image("labelsTr/a", np.zeros((3, 4, 6), np.uint8)),
        "3 x 4 x 6, a_0000.nii.gz of 3 x 4 x 5",
    ),
    "channels that differ": (lambda d: d.image("imagesTr/a_0001", np.zeros((2, 4, 5))), "a shape of 2 x 4 x 5, a_0000.nii.gz"),
    "spacings that differ": (
        lambda d: d.image("labelsTr/a", np.zeros((3, 4, 5), np.uint8), spacing=(1, 1, 2)),
        "a spacing of 2 x 1 x 1, a_0000.nii.gz of 1 x 1 x 1",
    ),
    # ITK reads nan as 0 from NIfTI, nibabel doesn't
    "nan in an image": (
        lambda d: (
            d.image("imagesTr/a_0000", np.full((3, 4, 5), np.nan)),
            describe(overwrite_image_reader_writer="NibabelIO")(d),
        ),
        "a_0000.nii.gz has values that are not finite",
    ),
    "a label that dataset.json lacks": (lambda d: d.label(7), "a.nii.gz has the labels 7, dataset.json only 0, 1, 2"),
}
PREPROCESSED = {
    "plans missing": (lambda d: (d.preprocessed / "nnUNetPlans.json").unlink(), "has no plans"),
    "plans cut off": (lambda d: cut_off(d.preprocessed / "nnUNetPlans.json"), "nnUNetPlans.json is no valid JSON,...cut off"),
    "plans a list": (lambda d: d.write("preprocessed/nnUNetPlans.json", []), "nnUNetPlans.json should hold an object"),
    "plans without configurations": (lambda d: d.write("preprocessed/nnUNetPlans.json", {}), "nnUNetPlans.json has no config"),
    "a stride of 0": (plan("2d", architecture={"strides": [[1, 1], [2, 0], [2, 2], [2, 2]]}), "strides has the entry [2, 0]"),
    "a kernel of text": (plan("2d", architecture={"kernel_sizes": "3"}), "kernel_sizes has the entry '3'"),
    "arguments of another network": (plan("2d", architecture={"n_stages": None}), "arch_kwargs: missing n_stages"),
    "a patch that strides don't divide": (plan("2d", patch_size=[30, 32]), "size (30, 32), need...use a patch of (32, 32)"),
    "a patch without an axis": (plan("2d", patch_size=[32]), "patch_size is [32], need two or three"),
    "a batch of 0": (plan("2d", batch_size=0), "batch_size is 0, need a whole number of at least 1"),
    "a plan that inherits from itself": (plan("2d", inherits_from="2d"), "2d inherits from 2d, which is a cycle"),
    "a plan that inherits from nothing": (plan("2d", inherits_from="gone"), "there is no configuration gone"),
    "a stage before that is not there": (plan("3d_cascade_fullres", previous_stage="gone"), "previous_stage is 'gone'"),
    "a batch of text": (plan("2d", batch_size="two"), "batch_size is 'two'"),
    "no spacing": (plan("2d", spacing=None), "spacing is None, need 2 positive numbers"),
    "fingerprint cut off": (
        lambda d: cut_off(d.preprocessed / "dataset_fingerprint.json"),
        "fingerprint.json is no valid JSON",
    ),
    "fingerprint of nothing": (lambda d: d.write("preprocessed/dataset_fingerprint.json", {}), "no spacings, no shapes_after"),
    "data missing": (
        lambda d: shutil.rmtree(d.preprocessed / "nnUNetPlans_2d"),
        "nnUNetPlans_2d, the data of 2d, does not exist",
    ),
    "data empty": (
        lambda d: (d.preprocessed / "nnUNetPlans_3d/b.b2nd").write_bytes(b""),
        "b.b2nd is missing, empty or damaged",
    ),
    "data cut off": (
        lambda d: cut_off(d.preprocessed / "nnUNetPlans_3d/b_seg.b2nd"),
        "b_seg.b2nd is missing, empty or damaged",
    ),
    "properties missing": (lambda d: (d.preprocessed / "nnUNetPlans_3d/a.pkl").unlink(), "a.pkl is missing, empty or damaged"),
    "split cut off": (lambda d: cut_off(d.preprocessed / "splits_final.json"), "splits_final.json is no list of folds"),
    "split of strangers": (
        lambda d: d.write("preprocessed/splits_final.json", [{"train": ["a"], "val": ["x"]}]),
        "has 1 cases without preprocessed data, x for one",
    ),
    "split that overlaps": (
        lambda d: d.write("preprocessed/splits_final.json", [{"train": ["a", "b"], "val": ["b"]}]),
        "b is in fold 0 both to train on and to validate on",
    ),
}
RESULTS = {
    "checkpoint cut off": (lambda d: cut_off(d.checkpoint), "checkpoint_final.pth can't be read...move it away"),
    "checkpoint empty": (lambda d: d.checkpoint.write_bytes(b""), "checkpoint_final.pth can't be read"),
    "checkpoint of another trainer": (
        lambda d: torch.save({"trainer_name": "nnUNetTrainerMBTFE"}, d.checkpoint),
        "was written by nnUNetTrainerMBTFE, the folder is that of nnUNetTrainerEGE",
    ),
    "checkpoint of a trainer that hides text": (
        lambda d: torch.save({"trainer_name": "nnUNet\n\x1b[8m"}, d.checkpoint),
        "was written by nnUNet\\n\\x1b[8m, the folder is that of",
    ),
    "checkpoint of another version": (
        lambda d: d.write(f"results/{MODEL}/fold_0/run_card.json", {"versions": {"nnunetv2_ext": "0.0.1"}}),
        "was written by nnunetv2-ext 0.0.1,... is installed...if it doesn't load, install nnunetv2-ext 0.0.1",
    ),
    "checkpoint that would run something": (
        lambda d: checkpoint(d.checkpoint, pickle.dumps(Touch(d.results / "was here"))),
        "names...system, which no checkpoint of nnU-Net's needs",
    ),
    "checkpoint that is a model zip": (
        lambda d: zip_up(d.checkpoint),
        "checkpoint_final.pth is a model zip, no checkpoint...move it away",
    ),
    "a stray file among the data": (
        lambda d: (d.preprocessed / "nnUNetPlans_2d" / ".DS_Store").touch(),
        ".DS_Store is no preprocessed data...move it away",
    ),
    "no checkpoint": (lambda d: d.checkpoint.unlink(), "fold_0 holds no checkpoint"),
    "plans of the model cut off": (lambda d: cut_off(d.results / MODEL / "plans.json"), "plans.json is no valid JSON"),
    "dataset.json of the model missing": (
        lambda d: (d.results / MODEL / "dataset.json").unlink(),
        "dataset.json doesn't exist",
    ),
}
FAULTS = {**RAW, **PREPROCESSED, **RESULTS}
WARNINGS = {
    "a label image too many",
    "data missing",
    "split that overlaps",
    "checkpoint of another version",
    "no checkpoint",
}


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("sound")
def test_nothing_is_wrong_with_a_sound_dataset():
    rows = list(dataset_checks("7"))
    assert {row.state for row in rows} == {"ok"}, rows
    assert any("2 cases" in row.found for row in rows)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_nothing_is_changed(fault, sound):
    do, expected = FAULTS[fault]
    do(sound)
    before = files(sound.raw.parents[1])
    rows = [row for row in dataset_checks("7") if row.state != "ok"]
    said = " ".join(f"{row.found} {row.cure}".strip() for row in rows)
    assert re.search(".*".join(map(re.escape, expected.split("..."))), said), said
    assert {row.state for row in rows} == ({"warning"} if fault in WARNINGS else {"wrong"})
    assert str(sound.raw.parents[1]) in said, "the file is named"
    assert files(sound.raw.parents[1]) == before


def test_a_dataset_that_was_never_preprocessed_is_no_fault(sound):
    shutil.rmtree(sound.preprocessed)
    shutil.rmtree(sound.results)
    assert [row.name for row in dataset_checks(NAME) if row.state != "ok"] == ["nnUNet_preprocessed", "nnUNet_results"]


def test_a_run_that_is_continued_under_a_longer_name_is_no_fault(sound):
    torch.save({"trainer_name": "nnUNetTrainerEGE_10epochs"}, sound.checkpoint)
    assert {row.state for row in dataset_checks("7")} == {"ok"}


def test_regions_and_an_ignore_label_are_no_fault(sound):
    describe(labels={**REGIONS, "ignore": 3}, regions_class_order=[1, 2])(sound)
    sound.label(3)
    assert {row.state for row in dataset_checks("7")} == {"ok"}


def test_colour_images_have_their_channels_in_one_file(sound):
    shutil.rmtree(sound.raw / "imagesTr")
    shutil.rmtree(sound.raw / "labelsTr")
    for folder, file, shape in (("imagesTr", "a_0000.png", (4, 5, 3)), ("labelsTr", "a.png", (4, 5))):
        (sound.raw / folder).mkdir()
        Image.fromarray(np.zeros(shape, np.uint8)).save(sound.raw / folder / file)
    describe(channel_names={"0": "R", "1": "G", "2": "B"}, file_ending=".png", numTraining=1)(sound)
    rows = [row for row in dataset_checks("7") if "nnUNet_raw" in f"{row.found}{row.cure}"]
    assert {row.state for row in rows} == {"ok"}, rows


def test_cases_that_dataset_json_lists_are_found(sound):
    listed = {"images": ["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz"], "label": "labelsTr/a.nii.gz"}
    describe(dataset={"a": listed, "gone": {**listed, "label": "labelsTr/gone.nii.gz"}})(sound)
    assert [row.name for row in dataset_checks("7") if row.state == "wrong"] == ["gone.nii.gz"]


def test_variables_in_listed_files_are_read_as_nnunet_reads_them(sound, monkeypatch):
    monkeypatch.setenv("DATA", str(sound.raw))
    images = ["$DATA/imagesTr/a_0000.nii.gz", "$DATA/imagesTr/a_0001.nii.gz"]
    describe(dataset={"a": {"images": images, "label": "$DATA/labelsTr/a.nii.gz"}, "b": {"images": images}}, numTraining=1)(
        sound
    )
    wrong = [row for row in dataset_checks("7") if row.state == "wrong"]
    assert [row.name for row in wrong] == ["b"]
    assert "dataset.json lists b without label" in wrong[0].found


def test_repeats_are_looked_at(sound):
    repeat = sound.results.parent / "repeat_1"
    shutil.copytree(sound.results, repeat / NAME)
    assert {row.state for row in dataset_checks("7")} == {"ok"}
    for file in repeat.rglob("checkpoint_*.pth"):
        file.write_bytes(b"junk")
    wrong = [row for row in dataset_checks("7") if row.state == "wrong"]
    assert wrong
    assert all(row.name.endswith(", repeat 1") for row in wrong)


def test_backups_of_other_files_are_no_plans(sound):
    for name in ("splits_final", "dataset"):
        sound.write(f"preprocessed/{name}_mine.json", [])
    assert {row.state for row in dataset_checks("7")} == {"ok"}


def test_data_of_a_part_of_the_cases_is_found(sound):
    (sound.preprocessed / "gt_segmentations").mkdir(exist_ok=True)
    for name in ("a", "b", "c"):
        (sound.preprocessed / "gt_segmentations" / f"{name}.nii.gz").touch()
    wrong = [row.found for row in dataset_checks("7") if row.state == "wrong"]
    assert wrong
    assert all("lacks 1 cases of which there is a ground truth, c for one" in found for found in wrong)


@pytest.mark.usefixtures("sound")
@pytest.mark.parametrize("given", ["8", "Dataset007", "nonsense"])
def test_an_unknown_dataset_is_a_sentence(given):
    with pytest.raises(DatasetError, match=rf"there is no dataset {given}; there are {NAME}. Looked into: .*nnUNet_raw"):
        list(dataset_checks(given))


def test_two_datasets_of_one_number_are_a_sentence(sound):
    (sound.raw.parent / "Dataset007_Other").mkdir()
    with pytest.raises(DatasetError, match="2 datasets have the number 7: Dataset007_Other, Dataset007_Sound"):
        list(dataset_checks("7"))

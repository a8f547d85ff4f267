"""model.json: what is written is what is read, and what can't be read is said in a sentence."""

import json

import pytest

from nnunetv2_ext.errors import PredictionError
from nnunetv2_ext.runtime.description import FILE_NAME, Channel, Fold, ModelDescription, Resampling, read_description

DESCRIPTION = ModelDescription(
    dataset="Dataset009_Noise",
    trainer="nnUNetTrainerEGEUNet",
    plans="nnUNetPlans",
    configuration="3d_fullres",
    checkpoint="checkpoint_final.pth",
    reader="SimpleITKIO",
    file_ending=".nii.gz",
    channels=(Channel("CT", "CTNormalization", False, {"mean": 1.5}),),
    transpose_forward=(2, 0, 1),
    transpose_backward=(1, 2, 0),
    spacing=(3.0, 0.7, 0.7),
    patch_size=(8, 16, 16),
    data_resampling=Resampling("resample_data_or_seg_to_shape", 3, 0, None, 3.0),
    logits_resampling=Resampling("resample_data_or_seg_to_shape", 1, 0, None, 3.0),
    mirror_axes=(0, 1, 2),
    labels={"background": 0, "whole": [1, 2]},
    regions_class_order=(1,),
    opset=18,
    folds=(Fold("all", "fold_all.onnx", "ab", True, 1e-6),),
    versions={"torch": "2.14.1"},
)


def test_round_trip(tmp_path):
    DESCRIPTION.write(tmp_path)
    assert read_description(tmp_path) == DESCRIPTION


def test_a_folder_without_one(tmp_path):
    with pytest.raises(PredictionError, match=r"no model.json.*'nnUNetv2_ext export' wrote"):
        read_description(tmp_path)


@pytest.mark.parametrize("text", ['{"format": 1, "dataset": "Dat', "[1, 2]", '{"format": 1}', ""])
def test_a_damaged_one(text, tmp_path):
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(PredictionError, match="copy the exported folder again"):
        read_description(tmp_path)


@pytest.mark.parametrize("change", [{"patch_size": None}, {"unheard_of": 1}, {"folds": [{"name": "0"}]}])
def test_one_that_was_changed(change, tmp_path):
    DESCRIPTION.write(tmp_path)
    content = json.loads((tmp_path / FILE_NAME).read_text()) | change
    (tmp_path / FILE_NAME).write_text(json.dumps(content))
    with pytest.raises(PredictionError, match="incomplete or was changed"):
        read_description(tmp_path)


def test_one_of_a_newer_version(tmp_path):
    DESCRIPTION.write(tmp_path)
    content = json.loads((tmp_path / FILE_NAME).read_text()) | {"format": 2}
    (tmp_path / FILE_NAME).write_text(json.dumps(content))
    with pytest.raises(PredictionError, match="not of format 1"):
        read_description(tmp_path)

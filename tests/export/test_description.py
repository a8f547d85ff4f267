"""What of the plans gets into model.json, and plans that the runtime can't follow."""

from dataclasses import replace

import pytest

from nnunetv2_ext.errors import ExportError
from nnunetv2_ext.export.description import describe
from nnunetv2_ext.runtime.description import Channel, Resampling
from tests.export.models import STATISTICS, Model, make_model


def described(model, tmp_path, monkeypatch):
    return describe(make_model(model, tmp_path, monkeypatch), [], 18)


def test_facts(tmp_path, monkeypatch):
    changes = {"normalization_schemes": ["CTNormalization", "ZScoreNormalization"], "use_mask_for_norm": [True, True]}
    model = Model(channels=2, transpose=(2, 0, 1), mirror_axes=(0, 2), configuration=changes)
    description = described(model, tmp_path, monkeypatch)
    assert description.channels == (
        Channel("channel 0", "CTNormalization", False, STATISTICS),
        Channel("channel 1", "ZScoreNormalization", True, {}),
    )
    assert description.transpose_forward == (2, 0, 1)
    assert description.transpose_backward == (1, 2, 0)
    assert description.mirror_axes == (0, 2)
    assert description.data_resampling == Resampling("resample_data_or_seg_to_shape", 3, 0, None, 3.0)
    assert description.logits_resampling == Resampling("resample_data_or_seg_to_shape", 1, 0, None, 3.0)
    assert {"nnunetv2", "torch", "nnunetv2_ext"} <= description.versions.keys()


def test_labels_are_whole_numbers_as_nnunet_reads_them(tmp_path, monkeypatch):
    labels = {"background": "0", "whole": ["1", 2.0], "core": 2.0}
    model = make_model(Model(labels={"background": 0, "whole": [1, 2], "core": 2}, order=[1, 2]), tmp_path, monkeypatch)
    dataset = {**model.dataset_json, "labels": labels, "regions_class_order": [1.0, 2]}
    description = describe(replace(model, dataset_json=dataset), [], 18)
    assert description.labels == {"background": 0, "whole": [1, 2], "core": 2}
    assert description.regions_class_order == (1, 2)
    assert all(type(number) is int for number in description.regions_class_order)


@pytest.mark.parametrize(("function", "force"), [("resample_data_or_seg_to_shape", False), ("resample_torch_fornnunet", None)])
def test_what_plans_leave_out_is_nnunets_default(function, force, tmp_path, monkeypatch):
    changes = {"resampling_fn_data": function, "resampling_fn_data_kwargs": {"is_seg": False}}
    description = described(Model(configuration=changes), tmp_path, monkeypatch)
    assert description.data_resampling == Resampling(function, 3, 0, force, 3.0)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"preprocessor_name": "MyPreprocessor"}, "name MyPreprocessor as preprocessor.*docs/share.md"),
        ({"normalization_schemes": ["MyNormalization"]}, "MyNormalization as normalisation"),
        ({"resampling_fn_data": "my_resampling"}, "my_resampling as resampling"),
        ({"resampling_fn_probabilities_kwargs": {"is_seg": False, "sharpen": 2}}, "probabilities with {'sharpen': 2}"),
    ],
)
def test_parts_of_somebodys_own_are_refused(changes, text, tmp_path, monkeypatch):
    with pytest.raises(ExportError, match=text):
        described(Model(configuration=changes), tmp_path, monkeypatch)


def test_readers_of_somebodys_own_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ExportError, match="MyReader as reader of images"):
        described(Model(reader="MyReader"), tmp_path, monkeypatch)

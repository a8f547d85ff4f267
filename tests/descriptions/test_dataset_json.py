import pytest

from nnunetv2_ext.descriptions.dataset_json import check_dataset_json, labels_in
from nnunetv2_ext.errors import DatasetError

CLASSES = {"channel_names": {"0": "CT"}, "file_ending": ".nii.gz", "labels": {"background": 0, "liver": 1, "tumour": 2}}
REGIONS = {**CLASSES, "labels": {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}, "regions_class_order": [1, 2]}


@pytest.mark.parametrize(
    "content",
    [
        CLASSES,
        REGIONS,
        {**CLASSES, "labels": {"background": "0", "liver": 1.0}},
        {"modality": {"0": "MR"}, "file_ending": ".png", "labels": {"background": 0, "cell": 1}},
    ],
    ids=["classes", "regions", "numbers as text", "old name of the channels"],
)
def test_what_nnunet_reads_is_taken(content):
    check_dataset_json(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "it is a list, need a JSON object"),
        ({**CLASSES, "channel_names": {}}, "no channel_names"),
        ({**CLASSES, "file_ending": None}, "no file_ending"),
        ({**CLASSES, "labels": {}}, "no labels"),
        ({**CLASSES, "labels": {"background": 0, "liver": "one"}}, "label liver is 'one': need a whole number"),
        ({**CLASSES, "labels": {"background": 0, "liver": []}}, "region liver names no class"),
        ({**CLASSES, "labels": {"liver": 1}}, 'no label "background" with the value 0'),
        ({**CLASSES, "labels": {"background": 0, "liver": 2}}, "the labels are 0, 2: number them 0, 1, 2"),
        ({**CLASSES, "labels": {"background": 0, "liver": 1, "ignore": 3}}, "need the highest label plus one, 2"),
        ({**REGIONS, "regions_class_order": [1]}, "need 2 labels, one for each of whole, core"),
    ],
)
def test_what_it_does_not_is_named(content, message):
    with pytest.raises(DatasetError, match=rf"^dataset\.json: .*{message}"):
        check_dataset_json(content)


def test_every_problem_is_named_at_once():
    with pytest.raises(DatasetError, match=r"no channel_names.*no file_ending.*no labels"):
        check_dataset_json({})


def test_labels_of_regions_are_their_classes_and_what_is_ignored():
    assert labels_in(REGIONS) == {0, 1, 2, 3}

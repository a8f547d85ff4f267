"""What is missing of a dataset is said in a sentence."""

import pytest

from nnunetv2_ext.datasets import dataset_name, host_folder, read_json
from nnunetv2_ext.errors import DatasetError


@pytest.mark.usefixtures("clean_variables")
def test_an_unset_folder() -> None:
    with pytest.raises(DatasetError, match=r"nnUNet_results is not set; nnU-Net needs it for training and prediction"):
        host_folder("nnUNet_results")


def test_a_folder_that_is_not_there(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "gone"))
    with pytest.raises(DatasetError, match=r"nnUNet_raw is .*gone, which is no folder"):
        host_folder("nnUNet_raw")


@pytest.mark.parametrize("given", ["7", "007", "Dataset007_Tiny"])
def test_a_dataset_by_id_or_name(dataset, given) -> None:
    assert dataset_name(given) == dataset.name


@pytest.mark.parametrize("given", ["8", "nonsense"])
def test_an_unknown_dataset(dataset, given) -> None:
    with pytest.raises(
        DatasetError, match=rf"dataset {given}: .*Preprocessed data is looked for in {dataset.preprocessed.parent}"
    ):
        dataset_name(given)


def test_a_name_without_its_zeros(dataset) -> None:
    with pytest.raises(DatasetError, match=f"has no dataset Dataset7_Tiny; it has {dataset.name}"):
        dataset_name("Dataset7_Tiny")


def test_two_datasets_of_one_id(dataset) -> None:
    (dataset.preprocessed.parent / "Dataset007_Other").mkdir()
    with pytest.raises(DatasetError, match="dataset 7: "):
        dataset_name("7")


def test_a_file(dataset) -> None:
    assert read_json(dataset.name, "dataset.json", "")["labels"] == {"background": 0, "a": 1, "b": 2}
    with pytest.raises(DatasetError, match=r"missing.json doesn't exist. Do this.$"):
        read_json(dataset.name, "missing.json", "Do this.")

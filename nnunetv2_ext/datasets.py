"""Datasets in the host's folders: what is missing is said in a sentence."""

import json
import os
from pathlib import Path
from typing import Any

from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name

from nnunetv2_ext.errors import DatasetError
from nnunetv2_ext.paths import HOST_FOLDERS


def host_folder(variable: str) -> Path:
    """The folder that one of nnU-Net's variables names.

    Raises:
        DatasetError: if it is not set or names no folder.
    """
    value = os.environ.get(variable)
    if not value or not Path(value).is_dir():
        found = f"{variable} is {value}, which is no folder" if value else f"{variable} is not set"
        raise DatasetError(f"{found}; nnU-Net needs it for {HOST_FOLDERS[variable]}. 'nnUNetv2_ext doctor' checks all of them.")
    return Path(value)


def dataset_name(dataset: str) -> str:
    """The name of a dataset that is given by its name or id.

    Raises:
        DatasetError: if there is none or more than one of that id.
    """
    folder = host_folder("nnUNet_preprocessed")
    try:
        return str(maybe_convert_to_dataset_name(dataset))
    except (RuntimeError, ValueError) as error:
        raise DatasetError(
            f"dataset {dataset}: {str(error).split('. ')[0]}. Preprocessed data is looked for in {folder}."
        ) from error


def read_json(dataset: str, file_name: str, cure: str) -> dict[str, Any]:
    """A JSON file in a dataset's preprocessed folder.

    Raises:
        DatasetError: if it isn't there; the message ends with the cure.
    """
    file = host_folder("nnUNet_preprocessed") / dataset / file_name
    if not file.is_file():
        raise DatasetError(f"{file} doesn't exist. {cure}")
    return json.loads(file.read_text())

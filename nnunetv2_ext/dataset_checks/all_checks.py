"""All checks of a dataset, in the order in which nnU-Net comes to the files."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from nnunetv2_ext.dataset_checks.preprocessed import preprocessed_checks
from nnunetv2_ext.dataset_checks.raw import raw_checks
from nnunetv2_ext.dataset_checks.results import results_checks
from nnunetv2_ext.datasets import any_dataset_name
from nnunetv2_ext.installation import Check

FOLDERS: dict[str, Callable[[Path], Iterator[Check]]] = {
    "nnUNet_raw": raw_checks,
    "nnUNet_preprocessed": preprocessed_checks,
    "nnUNet_results": results_checks,
}


def dataset_checks(dataset: str) -> Iterator[Check]:
    """What is wrong in a dataset's files, wherever nnU-Net's variables say that it has some.

    Raises:
        DatasetError: if there is no dataset, or more than one, of that id or name.
    """
    name = any_dataset_name(dataset)
    for variable, checks in FOLDERS.items():
        folder = Path(os.environ.get(variable, ""), name)
        if not os.environ.get(variable):
            yield Check(variable, "warning", "not set, so nothing was looked for there")
        elif not folder.is_dir():
            yield Check(variable, "warning", f"{folder} does not exist, so there is nothing to check yet")
        else:
            yield from checks(folder)

"""All checks of a dataset, in the order in which nnU-Net comes to the files."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from nnunetv2_ext.dataset_checks.preprocessed import preprocessed_checks
from nnunetv2_ext.dataset_checks.raw import raw_checks
from nnunetv2_ext.dataset_checks.results import results_checks
from nnunetv2_ext.datasets import any_dataset_name
from nnunetv2_ext.installation import Check
from nnunetv2_ext.runs import repeat_root, repeats_in

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
        root = os.environ.get(variable)
        if not root:
            yield Check(variable, "warning", "not set, so nothing was looked for there")
            continue
        folders = {repeat: repeat_root(Path(root), repeat) / name for repeat in repeats_in(Path(root))}  # in the results alone
        if not any(folder.is_dir() for folder in folders.values()):
            yield Check(variable, "warning", f"{folders[0]} does not exist, so there is nothing to check yet")
        for repeat, folder in folders.items():
            for row in checks(folder) if folder.is_dir() else ():
                yield row._replace(name=f"{row.name}, repeat {repeat}") if repeat else row

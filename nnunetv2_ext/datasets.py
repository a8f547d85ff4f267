"""Finding datasets in nnU-Net's folders; errors say in one sentence what is missing."""

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name

from nnunetv2_ext.descriptions.json_file import read_json_file
from nnunetv2_ext.errors import DatasetError
from nnunetv2_ext.paths import HOST_FOLDERS

DATA_ENDINGS = (".b2nd", ".npz", ".npy", ".pkl")
PREPROCESS_AGAIN = "run nnUNetv2_plan_and_preprocess for this dataset again"


def host_folder(variable: str) -> Path:
    """The folder that one of nnU-Net's variables names.

    Raises:
        DatasetError: if it is not set or names no folder.
    """
    value = os.environ.get(variable)
    if not value or not os.path.isdir(value):  # Path's fails where one may not look
        found = f"{variable} is {value}, which is no folder" if value else f"{variable} is not set"
        raise DatasetError(f"{found}; nnU-Net needs it for {HOST_FOLDERS[variable]}. 'nnUNetv2_ext doctor' checks all of them.")
    return Path(value)


def check_writable(folder: Path) -> None:
    """Refuses a folder that can't be written to, or made.

    Raises:
        DatasetError: if the folder can't be written to.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))
    if not os.path.isdir(there):
        raise DatasetError(f"{folder} can't be used as a folder: {there} is a file. Move that away, or name another folder.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise DatasetError(f"{folder} can't be written to: {there} is read-only for you. Change that, or name another folder.")


def check_preprocessed(folder: Path, dataset: str, plans: str, configuration: str) -> None:
    """Refuses a folder of preprocessed data that isn't there, or that nnU-Net can't tell the format of.

    It is empty after a preprocessing that was stopped.

    Raises:
        DatasetError: if it is so.
    """
    files = [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    if any(path.suffix in (".b2nd", ".npz") for path in files):
        if strange := strange_files(files):
            raise DatasetError(
                f"{folder} has {strange[0].name}, with which nnU-Net can't tell how its data is stored: move it away."
            )
        return
    state = "is empty" if folder.is_dir() else "does not exist"
    raise DatasetError(
        f"{folder}, the preprocessed data of {configuration}, {state}. Run: nnUNetv2_preprocess -d {dataset} "
        f"-plans_name {plans} -c {configuration}"
    )


def strange_files(files: Iterable[Path]) -> list[Path]:
    """Those that are no preprocessed data: nnU-Net tells the format from the endings of all files."""
    return sorted(file for file in files if file.suffix not in DATA_ENDINGS)


def cases_without_data(folder: Path, cases: Collection[str]) -> list[str]:
    """Cases that a folder of preprocessed data lacks beside those that it has, as after a preprocessing that was stopped.

    nnU-Net copies the ground truth of all cases when it is done with them.
    """
    truth = folder.parent / "gt_segmentations"
    description = folder.parent / "dataset.json"
    if not truth.is_dir() or not description.is_file():
        return []
    ending = str(read_json_file(description, dict, f"To cure it {PREPROCESS_AGAIN}.").get("file_ending", ".nii.gz"))
    return sorted({file.name.removesuffix(ending) for file in truth.glob(f"*{ending}")} - set(cases))


def check_complete(folder: Path, cases: Collection[str]) -> None:
    """Refuses preprocessed data of only a part of the cases, before nnU-Net makes a split of this part.

    Raises:
        DatasetError: if it is so.
    """
    if not (folder.parent / "gt_segmentations").is_dir():
        raise DatasetError(
            f"{folder.parent} has no gt_segmentations, which nnU-Net makes last: its preprocessing was stopped, or has failed. "
            f"To cure it {PREPROCESS_AGAIN}."
        )
    if missing := cases_without_data(folder, cases):
        raise DatasetError(
            f"{folder} has {len(cases)} cases and lacks {len(missing)} of which there is a ground truth, {missing[0]} for one: "
            f"its preprocessing was stopped, or has failed. To cure it {PREPROCESS_AGAIN}; to train without these cases, write "
            f"the folds into {folder.parent / 'splits_final.json'}."
        )


def dataset_name(dataset: str) -> str:
    """The name of a dataset that is given by its name or id, and has preprocessed data.

    Raises:
        DatasetError: if there is none or more than one of that id.
    """
    folder = host_folder("nnUNet_preprocessed")
    try:
        name = str(maybe_convert_to_dataset_name(dataset))
    except (RuntimeError, ValueError) as error:
        raise DatasetError(
            f"dataset {dataset}: {str(error).split('. ')[0]}. Preprocessed data is looked for in {folder}."
        ) from error
    if not (folder / name).is_dir():  # nnU-Net takes whatever begins with Dataset for a name
        there = sorted(path.name for path in folder.glob("Dataset*") if path.is_dir())
        raise DatasetError(f"{folder} has no dataset {name}; it has {', '.join(there) or 'none'}.")
    return name


def any_dataset_name(dataset: str, folders: Sequence[Path] | None = None) -> str:
    """The name of a dataset that is given by its name or id, and is in one of the folders, by default any of nnU-Net's.

    Raises:
        DatasetError: if there is none or more than one.
    """
    if folders is None:
        folders = [Path(os.environ[name]) for name in HOST_FOLDERS if os.environ.get(name)]
    prefix = f"Dataset{int(dataset):03d}_" if dataset.isdecimal() else dataset
    found = sorted({path.name for folder in folders for path in folder.glob("Dataset*") if path.is_dir()})
    names = [name for name in found if name == dataset or (dataset.isdecimal() and name.startswith(prefix))]
    where = ", ".join(map(str, folders)) or "nothing, because none of nnU-Net's variables is set"
    if not names:
        raise DatasetError(
            f"there is no dataset {dataset}; there are {', '.join(found) or 'none'}. Looked into: {where}. Give its "
            "number, or its whole name, such as Dataset004_Hippocampus."
        )
    if len(names) > 1:
        raise DatasetError(
            f"{len(names)} datasets have the number {dataset}: {', '.join(names)}. Looked into: {where}. nnU-Net refuses that: "
            "rename or move all but one."
        )
    return names[0]


def read_json(dataset: str, file_name: str, cure: str) -> dict[str, Any]:
    """A JSON file in a dataset's preprocessed folder.

    Raises:
        DatasetError: if it isn't there or can't be read; the message ends with the cure.
    """
    return read_json_file(host_folder("nnUNet_preprocessed") / dataset / file_name, dict, cure)


def read_plans(dataset: str, name: str) -> dict[str, Any]:
    """A dataset's plans.

    Raises:
        DatasetError: if they aren't there or can't be read.
    """
    cure = "'nnUNetv2_plan_and_preprocess' or 'nnUNetv2_ext plan' makes plans; -p takes their name."
    return read_json(dataset, f"{name}.json", cure)

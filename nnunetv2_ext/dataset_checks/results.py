"""The trained models of a dataset: descriptions and checkpoints, read without loading them."""

from collections.abc import Iterator
from pathlib import Path

import nnunetv2_ext
from nnunetv2_ext.descriptions.dataset_json import check_dataset_json
from nnunetv2_ext.descriptions.json_file import read_json_file
from nnunetv2_ext.descriptions.plans_json import check_plans
from nnunetv2_ext.errors import ExtensionError, UnsafeFileError, printable
from nnunetv2_ext.inspection.checkpoint import Checkpoint
from nnunetv2_ext.inspection.model_zip import inspect_file
from nnunetv2_ext.installation import Check
from nnunetv2_ext.trainers.checkpoints import same_recipe

RESTORE = "restore it from a backup, or copy it from the dataset's folder below nnUNet_preprocessed"
FROM_ANOTHER = "move it away; if there is another checkpoint beside it, predict with that (-chk) or continue from it (--c)"


def results_checks(folder: Path) -> Iterator[Check]:
    """What is wrong in a dataset's folder below nnUNet_results."""
    for model in sorted(path for path in folder.glob("*__*__*") if path.is_dir()):
        for row in _model_checks(model):
            yield row._replace(name=printable(row.name), found=printable(row.found), cure=printable(row.cure))


def _model_checks(model: Path) -> Iterator[Check]:
    yield from _description_checks(model)
    for fold in sorted(model.glob("fold_*")):
        yield from _fold_checks(model, fold)


def _description_checks(model: Path) -> Iterator[Check]:
    for name in ("dataset.json", "plans.json"):
        try:
            content = read_json_file(model / name, dict, f"To predict with this model {RESTORE}.")
            if name == "plans.json":
                check_plans(content, model.name.split("__")[-1])
            else:
                check_dataset_json(content)
        except ExtensionError as error:
            yield Check(f"{model.name} {name}", "wrong", str(error) if str(model) in str(error) else f"{model / name}: {error}")


def _fold_checks(model: Path, fold: Path) -> Iterator[Check]:
    checkpoints = sorted(fold.glob("checkpoint_*.pth"))
    sound = []
    for file in checkpoints:
        rows = list(_checkpoint_checks(file, model.name.split("__")[0]))
        yield from rows
        if not any(row.state == "wrong" for row in rows):
            sound.append(file.name)
    title = f"{model.name} {fold.name}"
    if sound:
        yield Check(title, "ok", ", ".join(sound))
    elif not checkpoints:
        yield Check(title, "warning", f"{fold} holds no checkpoint", "train this fold, or remove the folder")


def _checkpoint_checks(file: Path, trainer: str) -> Iterator[Check]:
    title = f"{file.parent.name} {file.name}"
    try:
        checkpoint = inspect_file(file).get("")
    except UnsafeFileError as error:
        yield Check(title, "wrong", str(error), FROM_ANOTHER)
        return
    if not isinstance(checkpoint, Checkpoint):
        yield Check(title, "wrong", f"{file} is a model zip, no checkpoint", FROM_ANOTHER)
        return
    if checkpoint.suspicious:
        found = f"{file} names {', '.join(checkpoint.suspicious)}, which no checkpoint of nnU-Net's needs"
        yield Check(title, "wrong", found, f"don't load it; 'nnUNetv2_ext inspect {file}' shows what it holds")
    continued = isinstance(checkpoint.trainer, str) and same_recipe(checkpoint.trainer, trainer)  # under a longer name
    if checkpoint.trainer != trainer and not continued:
        found = f"{file} was written by {checkpoint.trainer or 'no trainer of nnU-Net'}, the folder is that of {trainer}"
        yield Check(title, "wrong", found, FROM_ANOTHER)
    yield from _version_checks(title, file, checkpoint)


def _version_checks(title: str, file: Path, checkpoint: Checkpoint) -> Iterator[Check]:
    """Weights of another release usually load; a major release may change a network."""
    written = checkpoint.versions.get("nnunetv2_ext")
    if written and written != nnunetv2_ext.__version__:
        found = f"{file} was written by nnunetv2-ext {written}, {nnunetv2_ext.__version__} is installed"
        yield Check(title, "warning", found, f"if it doesn't load, install nnunetv2-ext {written}")

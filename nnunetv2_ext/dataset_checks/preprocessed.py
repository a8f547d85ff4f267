"""The preprocessed dataset: its plans, its split, and the data of each configuration."""

from collections.abc import Iterator
from pathlib import Path

import blosc2
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnunetv2_ext.architectures.plan import Plan
from nnunetv2_ext.datasets import PREPROCESS_AGAIN, cases_without_data, strange_files
from nnunetv2_ext.descriptions.dataset_json import check_dataset_json
from nnunetv2_ext.descriptions.fingerprint import check_fingerprint
from nnunetv2_ext.descriptions.json_file import read_json_file
from nnunetv2_ext.descriptions.plans_json import CURE, check_plans, configurations_of
from nnunetv2_ext.errors import DatasetError, ExtensionError
from nnunetv2_ext.installation import Check
from nnunetv2_ext.planning.stock import stock_arguments
from nnunetv2_ext.trainers.networks import plan_arguments

U_NETS = ("dynamic_network_architectures.architectures.unet.", "dynamic_network_architectures.architectures.residual_unet.")
NO_PLANS = ("dataset", "dataset_fingerprint", "splits_final")
"""what the names of other files than plans begin with, backups of them too"""


def preprocessed_checks(folder: Path) -> Iterator[Check]:
    """What is wrong in a dataset's folder below nnUNet_preprocessed."""
    for name in ("dataset.json", "dataset_fingerprint.json"):
        try:
            content = read_json_file(folder / name, dict, f"To cure it {PREPROCESS_AGAIN}.")
            check = check_dataset_json if name == "dataset.json" else check_fingerprint
            check(content)
        except DatasetError as error:
            yield Check(name, "wrong", str(error) if str(folder) in str(error) else f"{folder}/{error}", PREPROCESS_AGAIN)
    files = sorted(file for file in folder.glob("*.json") if not file.name.startswith(NO_PLANS))
    if not files:
        yield Check("plans", "wrong", f"{folder} has no plans", PREPROCESS_AGAIN)
    identifiers: dict[str, set[str]] = {}
    for file in files:
        yield from _plans_checks(file, identifiers)
    data = {name: _cases(folder / name) for name in sorted(identifiers)}
    for name, cases in data.items():
        yield from _data_checks(folder / name, cases, ", ".join(sorted(identifiers[name])))
    yield from _split_checks(folder / "splits_final.json", [cases for cases in data.values() if cases])


def _plans_checks(file: Path, identifiers: dict[str, set[str]]) -> Iterator[Check]:
    """Checks each configuration, and gathers the folders that they read their data from."""
    try:
        plans = read_json_file(file, dict, f"To cure it {CURE}.")
    except DatasetError as error:
        yield Check(file.name, "wrong", str(error))
        return
    if not configurations_of(plans):
        yield Check(file.name, "wrong", f"{file} has no configurations", CURE)
    sound = True
    for configuration in configurations_of(plans):
        try:
            check_plans(plans, configuration)
            manager = PlansManager(plans).get_configuration(configuration)
            _check_network(manager)
        except ExtensionError as error:
            sound = False
            yield Check(f"{file.name} {configuration}", "wrong", f"{file}: {error}")
        else:
            identifiers.setdefault(manager.data_identifier, set()).add(configuration)
    if sound:
        yield Check(file.name, "ok", ", ".join(configurations_of(plans)))


def _check_network(configuration: ConfigurationManager) -> None:
    """Whether a U-Net can be built from the plan's arguments, where they are those of a U-Net, and takes the plan's patch."""
    if configuration.network_arch_class_name.startswith(U_NETS):
        arguments = plan_arguments(configuration.network_arch_init_kwargs)
        needed = [name for name in configuration.network_arch_init_kwargs_req_import if name in arguments]
        architecture = {"arch_kwargs": arguments, "_kw_requires_import": needed}
        plan = Plan.from_arguments(stock_arguments(architecture, input_channels=1, num_classes=2))
        plan.check_input((1, 1, *configuration.patch_size), training=True)


def _cases(folder: Path) -> dict[str, Path]:
    """The data of each case. nnU-Net keeps images as .b2nd, older ones as .npz or .npy."""
    files = [file for ending in ("b2nd", "npz") for file in sorted(folder.glob(f"*.{ending}"))]
    return {file.stem: file for file in files if not file.stem.endswith("_seg")}


def _data_checks(folder: Path, cases: dict[str, Path], configurations: str) -> Iterator[Check]:
    if not cases:
        found = f"{folder}, the data of {configurations}, {'is empty' if folder.is_dir() else 'does not exist'}"
        yield Check(folder.name, "warning", found, "run nnUNetv2_preprocess for what you want to train")
        return
    strange = strange_files(file for file in folder.iterdir() if file.is_file())
    for file in strange:
        found = f"{file} is no preprocessed data, and nnU-Net tells the format from the endings of all files"
        yield Check(folder.name, "wrong", found, "move it away")
    if missing := cases_without_data(folder, cases):
        found = f"{folder} lacks {len(missing)} cases of which there is a ground truth, {missing[0]} for one"
        yield Check(folder.name, "wrong", found, "run nnUNetv2_preprocess again: it was stopped, or has failed")
    damaged = []
    for name, file in cases.items():
        parts = [file, folder / f"{name}.pkl", *([folder / f"{name}_seg.b2nd"] if file.suffix == ".b2nd" else [])]
        damaged += [part for part in parts if not _is_whole(part)]
    for part in damaged:
        yield Check(part.name, "wrong", f"{part} is missing, empty or damaged", "run nnUNetv2_preprocess again")
    if not (damaged or missing or strange):
        yield Check(folder.name, "ok", f"{len(cases)} cases for {configurations}")


def _is_whole(file: Path) -> bool:
    if not file.is_file() or file.stat().st_size == 0:
        return False
    if file.suffix != ".b2nd":
        return True
    try:
        blosc2.open(urlpath=str(file), mode="r")
    except Exception:  # of any kind, by what is wrong with the file
        return False
    return True


def _split_checks(file: Path, data: list[dict[str, Path]]) -> Iterator[Check]:
    if not file.is_file():
        return  # nnU-Net makes one
    cure = "correct it, or remove it: nnU-Net makes a new one, after which runs can't be compared with earlier ones"
    try:
        splits = read_json_file(file, list, "")
        folds = [(set(fold["train"]), set(fold["val"])) for fold in splits]
    except (DatasetError, KeyError, TypeError) as error:
        yield Check(file.name, "wrong", f"{file} is no list of folds with train and val ({error})", cure)
        return
    for number, (training, validation) in enumerate(folds):
        if both := sorted(training & validation):
            found = f"{file}: {both[0]} is in fold {number} both to train on and to validate on"
            yield Check(f"{file.name} fold {number}", "warning", found, cure)
    named = {name for fold in folds for part in fold for name in part}
    missing = sorted(name for name in named if not all(name in cases for cases in data))
    if missing:
        found = f"{file} has {len(missing)} cases without preprocessed data, {missing[0]} for one"
        yield Check(file.name, "wrong", found, f"{PREPROCESS_AGAIN}, or {cure}")

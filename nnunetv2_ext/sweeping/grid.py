"""Which runs a sweep consists of, and whether nnU-Net can train them."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from batchgenerators.utilities.file_and_folder_operations import save_json
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.crossval_split import generate_crossval_split
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_ext.datasets import check_complete, check_preprocessed, check_writable, dataset_name, host_folder, read_plans
from nnunetv2_ext.descriptions.plans_json import check_plans
from nnunetv2_ext.errors import DatasetError
from nnunetv2_ext.runs import Run
from nnunetv2_ext.trainers.resolve import any_trainer_class

FOLDS = 5
"""of nnU-Net's cross-validation"""


def runs_of_grid(
    dataset: str,
    trainers: Sequence[str],
    plans: str,
    configurations: Sequence[str],
    folds: Sequence[str],
    repeats: int,
) -> list[Run]:
    """Every trainer on every configuration and fold, as often as asked for: all of the first repeat, then of the next.

    What is named twice is trained once.

    Raises:
        UnknownTrainerError: if a trainer doesn't exist.
        DatasetError: if the dataset doesn't exist, or has no preprocessed data.
        PlanError: if its plans lack a configuration.
    """
    for trainer in trainers:
        any_trainer_class(trainer)
    name, results = dataset_name(dataset), host_folder("nnUNet_results")
    manager = _plans(name, plans)
    for configuration in configurations:
        _check_configuration(name, manager, configuration)
    grid = itertools.product(range(repeats), *map(dict.fromkeys, (configurations, folds, trainers)))
    return [Run(results, name, trainer, plans, configuration, fold, repeat) for repeat, configuration, fold, trainer in grid]


def runs_needed_by(run: Run, runs: Sequence[Run]) -> list[Run]:
    """Those of the runs that have to be finished before this one starts: a cascade's first stage, all of its folds."""
    previous = _plans(run.dataset, run.plans).get_configuration(run.configuration).previous_stage_name
    return [
        other
        for other in runs
        if (other.trainer, other.plans, other.repeat, other.configuration) == (run.trainer, run.plans, run.repeat, previous)
    ]


def write_split(run: Run) -> None:
    """Splits the dataset into nnU-Net's five folds if that isn't done yet.

    nnU-Net does it in the first training. When several start at once, one may read the file while another still writes it.

    Raises:
        DatasetError: if there are fewer cases than folds, or data of only a part of the cases.
    """
    folder = host_folder("nnUNet_preprocessed") / run.dataset
    if run.fold == "all" or (folder / "splits_final.json").is_file():
        return
    data = _data_folder(folder, _plans(run.dataset, run.plans), run.configuration)
    cases = sorted(infer_dataset_class(str(data)).get_identifiers(str(data)))
    check_complete(data, cases)
    if len(cases) < FOLDS:
        raise DatasetError(
            f"{data} has {len(cases)} cases, too few for nnU-Net's {FOLDS} folds: train with -f all, or write the folds into "
            f"{folder / 'splits_final.json'}."
        )
    check_writable(folder)
    save_json(generate_crossval_split(cases, seed=12345, n_splits=FOLDS), str(folder / "splits_final.json"))


def _plans(dataset: str, name: str) -> PlansManager:
    return PlansManager(read_plans(dataset, name))


def _check_configuration(dataset: str, plans: PlansManager, configuration: str) -> None:
    check_plans(plans.plans, configuration)
    folder = _data_folder(host_folder("nnUNet_preprocessed") / dataset, plans, configuration)
    check_preprocessed(folder, dataset, plans.plans_name, configuration)


def _data_folder(preprocessed: Path, plans: PlansManager, configuration: str) -> Path:
    return preprocessed / plans.get_configuration(configuration).data_identifier

"""Reports problems of plans, data and folders before the training, not by a worker that dies in the background."""

import os
from pathlib import Path
from typing import Any

from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_ext.architectures.network import Network
from nnunetv2_ext.datasets import check_complete, check_preprocessed, check_writable
from nnunetv2_ext.descriptions.dataset_json import check_dataset_json
from nnunetv2_ext.descriptions.json_file import read_json_file
from nnunetv2_ext.descriptions.plans_json import check_plans
from nnunetv2_ext.errors import DatasetError
from nnunetv2_ext.runs import Run
from nnunetv2_ext.trainers.networks import unwrapped

DOCTOR = "'nnUNetv2_ext doctor -d ID' checks all files of a dataset."


def check_arguments(
    trainer: str, plans: dict[str, Any], configuration: str, fold: int | str, dataset_json: dict[str, Any]
) -> None:
    """Refuses what a trainer can't be made with.

    Raises:
        PlanError: if the plans don't have what the configuration needs.
        DatasetError: if the dataset has no channels or labels, or the results can't be written.
    """
    check_plans(plans, configuration)
    check_dataset_json(dataset_json)
    results = os.environ.get("nnUNet_results")
    if not results:
        raise DatasetError("nnUNet_results is not set: export nnUNet_results=FOLDER, where trained models are to go.")
    run = Run(Path(results), plans["dataset_name"], trainer, plans["plans_name"], configuration, str(fold))
    check_writable(run.folder)


class DataChecksMixin(nnUNetTrainer):
    """Looks at the preprocessed data before the loaders do."""

    def initialize(self) -> None:
        """As in nnU-Net, but missing data and a patch that can't be trained on are reported before any worker starts.

        Raises:
            DatasetError: if the configuration has no preprocessed data.
            InputSizeError: if the network can't be trained on the plan's patch.
        """
        plans = self.plans_manager
        check_preprocessed(
            Path(self.preprocessed_dataset_folder), plans.dataset_name, plans.plans_name, self.configuration_name
        )
        super().initialize()
        network = unwrapped(self.network)
        if isinstance(network, Network):
            network.check_input((self.batch_size, network.plan.input_channels, *self.configuration_manager.patch_size))

    def get_tr_and_val_datasets(self) -> tuple[Any, Any]:
        """As in nnU-Net, but what would kill the loaders in the background is refused.

        Raises:
            DatasetError: if the split can't be read or names cases that have no data, if a file is empty, or if a cascade lacks
                its first stage.
        """
        splits = Path(self.preprocessed_dataset_folder_base, "splits_final.json")
        if self.fold != "all" and splits.is_file():
            read_json_file(splits, list, "Correct it, or move it away: nnU-Net makes a new one, with other folds.")
        datasets = super().get_tr_and_val_datasets()
        names = sorted({name for dataset in datasets for name in dataset.identifiers})
        self._refuse_missing_data(names, splits)
        if self.is_cascaded:
            self._refuse_missing_stage(names)
        return datasets

    def do_split(self) -> tuple[list[str], list[str]]:
        """As in nnU-Net, but no split is made of a part of the cases.

        Raises:
            DatasetError: if there is no split yet, and some cases have no data.
        """
        if self.fold != "all" and not Path(self.preprocessed_dataset_folder_base, "splits_final.json").is_file():
            folder = self.preprocessed_dataset_folder
            check_complete(Path(folder), infer_dataset_class(folder).get_identifiers(folder))
        return super().do_split()

    def _refuse_missing_data(self, names: list[str], splits: Path) -> None:
        folder = Path(self.preprocessed_dataset_folder)
        sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
        missing = [name for name in names if not {f"{name}.b2nd", f"{name}.npz"} & sizes.keys()]
        if missing:
            raise DatasetError(
                f"{splits} names {len(missing)} cases that {folder} lacks, {missing[0]} for one. Preprocess the dataset again, "
                f"or correct the split. {DOCTOR}"
            )
        empty = [file for file, size in sizes.items() if size == 0 and file.split(".")[0].removesuffix("_seg") in names]
        if empty:
            raise DatasetError(
                f"{len(empty)} files in {folder} are empty, {empty[0]} for one, as they are when a disk is full. Preprocess "
                f"the dataset again. {DOCTOR}"
            )

    def _refuse_missing_stage(self, names: list[str]) -> None:
        folder, previous = Path(self.folder_with_segs_from_previous_stage), self.configuration_manager.previous_stage_name
        predicted = {path.stem for path in folder.glob("*")}
        if missing := [name for name in names if name not in predicted]:
            raise DatasetError(
                f"{self.configuration_name} starts from what {type(self).__name__} predicted in {previous}, and {folder} "
                f"lacks {len(missing)} cases, {missing[0]} for one. Train all folds of {previous} with this trainer first; "
                "each writes the predictions of its validation cases."
            )

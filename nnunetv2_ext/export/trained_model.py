"""A trained model, read from nnU-Net's results folders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from nnunetv2.utilities.label_handling.label_handling import LabelManager, determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor, nn

from nnunetv2_ext.datasets import any_dataset_name, host_folder
from nnunetv2_ext.descriptions.dataset_json import check_dataset_json
from nnunetv2_ext.descriptions.json_file import read_json_file
from nnunetv2_ext.descriptions.plans_json import check_plans
from nnunetv2_ext.errors import CheckpointError, ExportError
from nnunetv2_ext.runs import Run
from nnunetv2_ext.trainers.checkpoints import same_recipe
from nnunetv2_ext.trainers.networks import network_of_trainer
from nnunetv2_ext.trainers.resolve import any_trainer_class


@dataclass(frozen=True)
class TrainedModel:
    """The folds of one trained model."""

    folder: Path
    trainer: str
    configuration_name: str
    plans: dict[str, Any]
    dataset_json: dict[str, Any]
    checkpoint_name: str
    checkpoints: Mapping[str, dict[str, Any]]
    """by fold"""

    @property
    def plans_manager(self) -> PlansManager:
        return PlansManager(self.plans)

    @property
    def configuration(self) -> ConfigurationManager:
        return self.plans_manager.get_configuration(self.configuration_name)

    @property
    def labels(self) -> LabelManager:
        return self.plans_manager.get_label_manager(self.dataset_json)

    @property
    def input_channels(self) -> int:
        return determine_num_input_channels(self.plans_manager, self.configuration, self.dataset_json)

    @property
    def mirror_axes(self) -> tuple[int, ...]:
        """The axes along which nnU-Net mirrors predictions of this model; of several folds, the first decides."""
        first = next(iter(self.checkpoints.values()))
        return tuple(first.get("inference_allowed_mirroring_axes") or ())

    def network(self, fold: str) -> nn.Module:
        """The trained network of a fold, as nnU-Net predicts with it.

        Raises:
            CheckpointError: if its weights are of another network.
        """
        network = network_of_trainer(
            any_trainer_class(self.trainer),
            self.plans_manager,
            self.configuration,
            self.input_channels,
            self.labels.num_segmentation_heads,
            deep_supervision=False,
        )
        weights: Mapping[str, Tensor] = self.checkpoints[fold]["network_weights"]
        try:
            network.load_state_dict(weights)
        except CheckpointError:
            raise
        except RuntimeError as error:  # torch lists every tensor
            raise CheckpointError(
                f"the weights of fold {fold} are not those of the network that {self.trainer} builds from "
                f"{self.folder}/plans.json: use the checkpoint and the plans of one training"
            ) from error
        return network.eval()


def load_model(
    dataset: str, trainer: str, plans: str, configuration: str, folds: Sequence[str], checkpoint: str = "checkpoint_final.pth"
) -> TrainedModel:
    """The trained model that nnU-Net's options ``-d -tr -p -c -f -chk`` name.

    Raises:
        DatasetError: if there is no such dataset.
        ExportError: if it was not trained, or is a stage of a cascade that needs another one's predictions.
        UnknownTrainerError: if there is no such trainer.
        CheckpointError: if a checkpoint can't be read or is another trainer's.
    """
    run = Run(host_folder("nnUNet_results"), any_dataset_name(dataset), trainer, plans, configuration, folds[0])
    folder = run.model_folder
    if not folder.is_dir():
        there = sorted(path.name for path in folder.parent.glob("*__*__*") if path.is_dir())
        raise ExportError(
            f"there is no trained model {folder}; beside it are {', '.join(there) or 'none'}. Check -tr, -p and -c."
        )
    files = {fold: folder / f"fold_{fold}" / checkpoint for fold in folds}
    if missing := [fold for fold, file in files.items() if not file.is_file()]:
        there = sorted(path.parent.name.removeprefix("fold_") for path in folder.glob(f"fold_*/{checkpoint}"))
        raise ExportError(
            f"{folder} has no {checkpoint} of fold {', '.join(missing)}; it has those of fold {', '.join(there) or 'none'}. "
            "Name these with -f, or train the others."
        )
    again = "It is written when the training starts: copy it from a backup."
    model = TrainedModel(
        folder,
        trainer,
        configuration,
        read_json_file(folder / "plans.json", dict, again),
        read_json_file(folder / "dataset.json", dict, again),
        checkpoint,
        {fold: _read(file, trainer) for fold, file in files.items()},
    )
    check_plans(model.plans, configuration, stages=False)
    check_dataset_json(model.dataset_json)
    if model.configuration.previous_stage_name is not None:
        raise ExportError(
            f"{configuration} is a stage of a cascade and needs the predictions of {model.configuration.previous_stage_name} "
            "as input, which an exported model can't make. Export a configuration that works alone, such as 3d_fullres."
        )
    return model


def _read(file: Path, trainer: str) -> dict[str, Any]:
    try:
        content = torch.load(file, map_location="cpu", weights_only=False, mmap=True)
        written = content["trainer_name"]
    except Exception as error:  # whatever unpickling a damaged file raises
        raise CheckpointError(
            f"{file} can't be read as a checkpoint ({type(error).__name__}: {error}). If it is damaged, copy it from a backup."
        ) from error
    if written != trainer and not same_recipe(written, trainer):  # which is a run that is continued under a longer name
        raise CheckpointError(
            f"{file} was written by {written}, and its folder is of {trainer}: rename the folder after the trainer"
        )
    return content

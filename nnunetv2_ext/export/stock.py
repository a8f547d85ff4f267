"""A trained model as one of a stock trainer, so that nnU-Net predicts with it wherever this package is installed.

nnU-Net builds the network that the plans name, for every trainer. So it is enough that the checkpoint names a stock trainer and
the plans name our network: then nothing looks for our trainer, and ``nnUNet_extTrainer`` isn't needed.
"""

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_ext.errors import ExportError
from nnunetv2_ext.export.folder import new_folder
from nnunetv2_ext.export.trained_model import TrainedModel
from nnunetv2_ext.runs import Run
from nnunetv2_ext.trainers.base import ExtensionTrainer
from nnunetv2_ext.trainers.names import PREFIX
from nnunetv2_ext.trainers.networks import as_plan
from nnunetv2_ext.trainers.resolve import any_trainer_class


def export_stock(model: TrainedModel, folder: Path) -> tuple[Run, Path]:
    """Writes the model to a new folder, laid out as nnU-Net's results, and as a zip into the same folder.

    Of the checkpoints it takes what prediction needs, without the state of the optimizer.

    Returns:
        where its first fold is, and the zip, which ``nnUNetv2_install_pretrained_model_from_zip`` takes.

    Raises:
        ExportError: if the folder has something in it already, or no plans can name the network.
    """
    trainer, plans = stock_plans(model)
    with new_folder(folder) as part:
        runs = [
            Run(part, model.plans_manager.dataset_name, trainer, plans["plans_name"], model.configuration_name, fold)
            for fold in model.checkpoints
        ]
        target = runs[0].model_folder
        for run in runs:
            _check_same_network(model, run.fold, trainer, plans)
            run.folder.mkdir(parents=True)
            torch.save(_checkpoint(model, run.fold, trainer, plans), run.folder / "checkpoint_final.pth")
        _write_json(target / "plans.json", plans)
        _write_json(target / "dataset.json", model.dataset_json)
        archive = part / f"{target.parent.name}__{target.name}.zip"
        files = sorted(path for path in target.rglob("*") if path.is_file())
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as archived:
            for file in files:
                archived.write(file, file.relative_to(part))
    return replace(runs[0], results=folder), folder / archive.name


def stock_plans(model: TrainedModel) -> tuple[str, dict[str, Any]]:
    """A stock trainer, and plans with which it builds the model's network.

    The plans have a name of their own, so that installing the model replaces no other one, and the one configuration.

    Raises:
        ExportError: if the trainer is neither ours nor nnU-Net's, or changes the network in a way that no plan can say.
    """
    trainer_class = any_trainer_class(model.trainer)
    if not issubclass(trainer_class, ExtensionTrainer):
        if not trainer_class.__module__.startswith("nnunetv2."):
            raise ExportError(
                f"{model.trainer} is a trainer neither of this package nor of nnU-Net, so only it knows how its network is "
                "built. Share the model with nnUNetv2_export_model_to_zip, and the file that defines the trainer."
            )
        return model.trainer, model.plans
    if variant := getattr(trainer_class, "network_variant", None):
        raise ExportError(
            f"{variant.__name__} in {model.trainer} changes the network while the trainer builds it, which no plans can say. "
            "Share the model with nnUNetv2_export_model_to_zip, and say that nnUNet_extTrainer has to be set."
        )
    configuration = dict(as_plan(trainer_class.preset, model.configuration).configuration)
    for other in ("inherits_from", "next_stage"):  # what it inherits is filled in, and it is alone here
        configuration.pop(other, None)
    name = f"{model.plans_manager.plans_name}_{model.trainer.removeprefix(PREFIX)}"
    plans = {**model.plans, "plans_name": name, "configurations": {model.configuration_name: configuration}}
    return nnUNetTrainer.__name__, json.loads(json.dumps(plans))


def _check_same_network(model: TrainedModel, fold: str, trainer: str, plans: dict[str, Any]) -> None:
    manager = PlansManager(plans)
    configuration = manager.get_configuration(model.configuration_name)
    heads = model.labels.num_segmentation_heads
    stock = any_trainer_class(trainer).build_network_architecture(manager, configuration, model.input_channels, heads, False)
    network = model.network(fold)
    stock.load_state_dict(network.state_dict())
    noise = torch.randn(1, model.input_channels, *configuration.patch_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        if not torch.equal(stock.eval()(noise), network(noise)):
            raise ExportError(
                f"{trainer} builds another network from the plans than {model.trainer}. Nothing was exported; please report it."
            )


def _checkpoint(model: TrainedModel, fold: str, trainer: str, plans: dict[str, Any]) -> dict[str, Any]:
    written = model.checkpoints[fold]
    return {
        "network_weights": written["network_weights"],
        "trainer_name": trainer,
        "inference_allowed_mirroring_axes": written.get("inference_allowed_mirroring_axes"),
        "init_args": {
            "plans": plans,
            "configuration": model.configuration_name,
            "fold": int(fold) if fold.isdecimal() else fold,
            "dataset_json": model.dataset_json,
        },
        **{name: written[name] for name in ("current_epoch", "_best_ema", "logging") if name in written},
    }


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=4), encoding="utf-8")

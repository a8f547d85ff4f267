"""The run card: what a run differs in from nnUNetTrainer, and with which versions it was made."""

import importlib.metadata
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

import nnunetv2_ext

if TYPE_CHECKING:
    from nnunetv2_ext.trainers.base import ExtensionTrainer

FILE_NAME = "run_card.json"


def run_card(trainer: "ExtensionTrainer") -> dict[str, Any]:
    """What the trainer trains and how, as far as it differs from nnUNetTrainer; everything in it can be written as JSON."""
    network: nn.Module = trainer.network
    return {
        "trainer": type(trainer).__name__,
        "preset": trainer.preset.name,
        "paper": trainer.preset.paper,
        "network": {
            "class": trainer.preset.network,
            "arguments": dict(trainer.preset.arguments),
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
        },
        "recipe": {
            "optimizer": type(trainer.optimizer).__name__,
            "learning_rate_schedule": type(trainer.lr_scheduler).__name__,
            "loss": next(base.__name__ for base in type(trainer).__mro__ if "_build_loss" in vars(base)),
        },
        "differs_from_nnUNetTrainer": {
            name: {"nnUNetTrainer": stock, "here": getattr(trainer, name)}
            for name, stock in trainer.stock_values.items()
            if stock != getattr(trainer, name)
        },
        "versions": {
            "nnunetv2_ext": nnunetv2_ext.__version__,
            "nnunetv2": importlib.metadata.version("nnunetv2"),
            "torch": torch.__version__,
        },
    }


def write_run_card(trainer: "ExtensionTrainer") -> list[str]:
    """Writes the run card into the trainer's output folder, and gives lines for its log."""
    card = run_card(trainer)
    Path(trainer.output_folder, FILE_NAME).write_text(json.dumps(card, indent=2) + "\n")
    changes = [
        f"{name} {values['here']} (nnUNetTrainer: {values['nnUNetTrainer']})"
        for name, values in card["differs_from_nnUNetTrainer"].items()
    ]
    recipe = card["recipe"]
    return [
        f"{card['trainer']}: {card['network']['class']} with {card['network']['parameters']:,} parameters, "
        f"{recipe['optimizer']}, {recipe['learning_rate_schedule']}, loss of {recipe['loss']}",
        f"Differs from nnUNetTrainer in: {'; '.join(changes) or 'the network alone'}",
    ]

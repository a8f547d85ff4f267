"""The run card: what a run differs in from nnUNetTrainer, what it ran on and what it cost."""

import hashlib
import importlib.metadata
import json
import platform
import re
import shlex
import statistics
import sys
from pathlib import Path
from typing import Any, ClassVar

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import nn

import nnunetv2_ext
from nnunetv2_ext.presets import Preset
from nnunetv2_ext.runs import RUN_CARD
from nnunetv2_ext.trainers.atomic_write import atomic_write
from nnunetv2_ext.trainers.losses import CEThenDiceLossMixin

PACKAGES = ("nnunetv2", "dynamic-network-architectures", "batchgenerators", "batchgeneratorsv2", "numpy")


class RunCardMixin(nnUNetTrainer):
    """Writes the run card when the training starts, and again when it ends, since only then are the costs known."""

    preset: ClassVar[Preset]
    stock_values: dict[str, Any]
    """what nnUNetTrainer sets the attributes to that this trainer's hyperparameters change"""

    def initialize(self) -> None:
        # With several GPUs, nnU-Net replaces these by the process's own share.
        self.whole_batch = {
            "batch_size": self.configuration_manager.batch_size,
            "oversample_foreground_percent": self.oversample_foreground_percent,
        }
        super().initialize()

    def on_train_start(self) -> None:
        super().on_train_start()
        if self.local_rank == 0:
            for line in write_run_card(self):
                self.print_to_log_file(line)

    def on_train_end(self) -> None:
        super().on_train_end()
        if self.local_rank == 0:
            write_run_card(self)


def run_card(trainer: RunCardMixin) -> dict[str, Any]:
    """What the trainer trains and how, as far as it differs from nnUNetTrainer; everything in it can be written as JSON."""
    network: nn.Module = trainer.network
    values = {**vars(trainer), **trainer.whole_batch}
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
            "learning_rate_schedule": type(getattr(trainer.lr_scheduler, "schedule", trainer.lr_scheduler)).__name__,
            "loss": " and ".join(_loss_classes(type(trainer))),
            "variants": [base.__name__ for base in type(trainer).__bases__ if base.__module__.startswith("nnunetv2.")],
        },
        "differs_from_nnUNetTrainer": {
            name: {"nnUNetTrainer": stock, "here": values[name]}
            for name, stock in trainer.stock_values.items()
            if stock != values[name]
        },
        "data": _data(trainer),
        "cost": _cost(trainer),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "versions": {
            "nnunetv2_ext": nnunetv2_ext.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
    }


def _loss_classes(trainer: type) -> list[str]:
    """The classes that make the loss or change it, the outermost first; nnUNetTrainer's alone where no other does."""
    classes = [base for base in trainer.__mro__ if "_build_loss" in vars(base) or base is CEThenDiceLossMixin]
    return [base.__name__ for base in classes if base is not nnUNetTrainer] or [nnUNetTrainer.__name__]


def _data(trainer: RunCardMixin) -> dict[str, Any]:
    """Which data was trained on, as hashes that are equal for two runs if and only if their data and fold are."""
    fingerprint = Path(trainer.preprocessed_dataset_folder_base, "dataset_fingerprint.json")
    splits = Path(trainer.preprocessed_dataset_folder_base, "splits_final.json")
    split = json.loads(splits.read_text()) if splits.is_file() and trainer.fold != "all" else []
    return {
        "dataset": trainer.plans_manager.dataset_name,
        "plans": trainer.plans_manager.plans_name,
        "configuration": trainer.configuration_name,
        "fold": trainer.fold,
        "fingerprint_sha256": _sha256(json.loads(fingerprint.read_text())) if fingerprint.is_file() else None,
        "split_sha256": _sha256(split[trainer.fold]) if trainer.fold in range(len(split)) else None,
    }


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _cost(trainer: RunCardMixin) -> dict[str, Any]:
    """Device, epochs that are done, the median of their seconds, and the most memory that the process had so far, in bytes.

    On a GPU the memory is what torch allocated there, of the process that writes the card; elsewhere what the process had
    resident, without that of the workers that load the data.
    """
    starts, ends = (trainer.logger.get_value(f"epoch_{name}_timestamps", step=None) for name in ("start", "end"))
    seconds = [end - start for start, end in zip(starts, ends, strict=False)]  # an epoch that is cut off has no end
    on_gpu = trainer.device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(trainer.device) if on_gpu else f"{trainer.device.type} ({cpu_name()})",
        "threads": torch.get_num_threads(),
        "epochs": len(seconds),
        "seconds_per_epoch": statistics.median(seconds) if seconds else None,
        "peak_memory_bytes": torch.cuda.max_memory_allocated(trainer.device) if on_gpu else _peak_resident_bytes(),
        "peak_memory_is": "allocated on the GPU" if on_gpu else "resident in RAM",
    }


def cpu_name() -> str:
    """The processor's model."""
    known = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*:\s*(.+)", known.read_text()) if known.is_file() else None
    return model[1] if model else platform.processor() or platform.machine()


def _peak_resident_bytes() -> int | None:
    try:
        import resource
    except ModuleNotFoundError:  # on Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def write_run_card(trainer: RunCardMixin) -> list[str]:
    """Writes the run card into the trainer's output folder, and returns lines for its log."""
    card = run_card(trainer)
    with atomic_write(Path(trainer.output_folder, RUN_CARD)) as file:
        file.write((json.dumps(card, indent=2) + "\n").encode())
    changes = [
        f"{name} {values['here']} (nnUNetTrainer: {values['nnUNetTrainer']})"
        for name, values in card["differs_from_nnUNetTrainer"].items()
    ]
    recipe = card["recipe"]
    return [
        f"{card['trainer']}: {card['network']['class']} with {card['network']['parameters']:,} parameters, "
        f"{recipe['optimizer']}, {recipe['learning_rate_schedule']}, loss of {recipe['loss']}"
        + "".join(f", {variant}" for variant in recipe["variants"]),
        f"Differs from nnUNetTrainer in: {'; '.join(changes) or 'the network alone'}",
    ]

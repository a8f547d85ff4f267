"""Whole trainings as nnU-Net runs them, on a preprocessed dataset that takes milliseconds."""

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from nnunetv2_ext.trainers.base import ExtensionTrainer
from nnunetv2_ext.trainers.resolve import trainer_class
from tests.plans import CONFIGURATIONS

DATASET, CASES = "Dataset007_Tiny", [f"case_{number}" for number in range(5)]
LABELS = {"background": 0, "organ": 1, "lesion": 2}


class TinyTraining:
    """Folders with a preprocessed dataset of five random cases, and the results of trainings on them."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, plan: str = "3d") -> None:
        self.root, self.plan = root, plan
        for variable in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            (root / variable).mkdir(parents=True, exist_ok=True)
            monkeypatch.setenv(variable, str(root / variable))
        monkeypatch.setenv("nnUNet_n_proc_DA", "0")
        self._write_dataset()

    def _write_dataset(self) -> None:
        folder = self.root / "nnUNet_preprocessed" / DATASET
        configuration = CONFIGURATIONS[self.plan]
        cases = folder / configuration["data_identifier"]
        cases.mkdir(parents=True)
        random = np.random.default_rng(0)
        shape = configuration["patch_size"] if len(configuration["patch_size"]) == 3 else [1, *configuration["patch_size"]]
        for case in CASES:
            labels = random.integers(0, len(LABELS), (1, *shape)).astype(np.int8)
            image = (labels + 0.1 * random.standard_normal(labels.shape)).astype(np.float32)
            places = {label: np.argwhere(labels == label)[:50] for label in (1, 2)}
            block = (1, *shape)
            nnUNetDatasetBlosc2.save_case(
                image, labels, {"class_locations": places}, str(cases / case), block, block, block, block
            )
        plans = {
            "dataset_name": DATASET,
            "plans_name": "nnUNetPlans",
            "label_manager": "LabelManager",
            "image_reader_writer": "SimpleITKIO",
            "transpose_forward": [0, 1, 2],
            "transpose_backward": [0, 1, 2],
            "configurations": deepcopy(CONFIGURATIONS),
        }
        dataset = {"channel_names": {"0": "MRI"}, "labels": LABELS, "file_ending": ".nii.gz"}
        splits = [{"train": CASES[:4], "val": CASES[4:]}]
        contents = {"nnUNetPlans": plans, "dataset": dataset, "dataset_fingerprint": {}, "splits_final": splits}
        for name, content in contents.items():
            (folder / f"{name}.json").write_text(json.dumps(content))

    def fold(self, trainer: str) -> Path:
        return self.root / "nnUNet_results" / DATASET / f"{trainer}__nnUNetPlans__{self.plan}" / "fold_0"

    def log(self, trainer: str) -> str:
        """All logs of the trainings of this fold, one after the other."""
        return "\n".join(path.read_text() for path in sorted(self.fold(trainer).glob("training_log_*.txt")))

    def start(
        self,
        name: str,
        *,
        continue_training: bool = False,
        fixed_data: bool = False,
        seed: int = 0,
        adjust: Callable[[ExtensionTrainer], None] = lambda _: None,
    ) -> ExtensionTrainer:
        """What nnUNetv2_train does before the first epoch, with the same initial weights at every call."""
        torch.manual_seed(seed)
        folder = self.root / "nnUNet_preprocessed" / DATASET
        plans, dataset = (json.loads((folder / f"{content}.json").read_text()) for content in ("nnUNetPlans", "dataset"))
        plans["continue_training"] = continue_training
        with contextlib.redirect_stdout(io.StringIO()):
            trainer = trainer_class(name)(plans, self.plan, 0, dataset, torch.device("cpu"))
            trainer.logger.local_logger.plot_progress_png = lambda *_: None  # a second of matplotlib each epoch
            adjust(trainer)
            maybe_load_checkpoint(trainer, continue_training, False)
        if fixed_data:
            trainer.get_dataloaders = lambda: fixed_loaders(trainer)
        return trainer

    def train(self, name: str, **arguments: Any) -> ExtensionTrainer:
        trainer = self.start(name, **arguments)
        with contextlib.redirect_stdout(io.StringIO()):
            trainer.run_training()
        return trainer


def fixed_loaders(trainer: ExtensionTrainer) -> tuple[Iterator[dict[str, Any]], Iterator[dict[str, Any]]]:
    """Batches that follow from the epoch alone, in place of the random ones."""
    trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()  # which nnU-Net calls there, and saves what it sets

    def batches() -> Iterator[dict[str, Any]]:
        patch, heads = trainer.configuration_manager.patch_size, trainer.label_manager.num_segmentation_heads
        while True:
            random = torch.Generator().manual_seed(trainer.current_epoch)
            sizes = [
                [round(size * scale) for size, scale in zip(patch, scales, strict=True)]
                for scales in trainer._get_deep_supervision_scales()
            ]
            target = [torch.randint(0, heads, (2, 1, *size), generator=random).to(torch.int16) for size in sizes]
            yield {"data": torch.randn(2, 1, *patch, generator=random), "target": target, "keys": CASES[:2]}

    return batches(), batches()

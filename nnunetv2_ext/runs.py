"""Runs in nnU-Net's results folders: where they are, and how far they got. Imports no torch.

A run is one training of one fold. nnU-Net has no name for a second training of the same fold, so repeats have results folders
of their own: repeat 0 is in ``nnUNet_results`` itself, repeat 2 in its subfolder ``repeat_2``, laid out in the same way.
Every command of nnU-Net works on a repeat once ``nnUNet_results`` names its folder.
"""

import json
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

RUN_CARD = "run_card.json"
"""what our trainers write into the folder of a run"""


class State(Enum):
    """How far a run got."""

    NEW = "new"
    """no checkpoint"""
    CUT_OFF = "cut off"
    """a checkpoint from which the training can continue, also one that was finished before"""
    TRAINED = "trained"
    """the final checkpoint, but no validation"""
    FINISHED = "finished"
    """trained and validated"""


@dataclass(frozen=True)
class Run:
    """One training of one fold."""

    results: Path
    """the folder that nnUNet_results names, the same for all repeats"""
    dataset: str
    trainer: str
    plans: str
    configuration: str
    fold: str
    """a number or ``all``"""
    repeat: int = 0

    @property
    def root(self) -> Path:
        """What ``nnUNet_results`` has to be for this run."""
        return repeat_root(self.results, self.repeat)

    @property
    def model_folder(self) -> Path:
        """The folder of all folds, which ``nnUNetv2_predict_from_modelfolder`` takes."""
        return self.root / self.dataset / f"{self.trainer}__{self.plans}__{self.configuration}"

    @property
    def folder(self) -> Path:
        """The folder of the run itself."""
        return self.model_folder / f"fold_{self.fold}"

    @property
    def summary_file(self) -> Path:
        """What nnU-Net writes at the end of the validation."""
        return self.folder / "validation" / "summary.json"

    @property
    def name(self) -> str:
        """Unique among the runs of a dataset; a valid name of a file."""
        repeat = f"__repeat_{self.repeat}" if self.repeat else ""
        return f"{self.trainer}__{self.plans}__{self.configuration}__fold_{self.fold}{repeat}"

    def state(self) -> State:
        """How far the run got, as its files tell.

        nnU-Net writes checkpoint_latest.pth during a training and removes it at the end. Where it is newer than what a finished
        training leaves, the run was continued or trained again since then.
        """
        final, latest, best = (self.folder / f"checkpoint_{name}.pth" for name in ("final", "latest", "best"))
        if _is_json(self.summary_file) and not _is_newer(latest, self.summary_file):
            return State.FINISHED
        if final.is_file() and not _is_newer(latest, final):
            return State.TRAINED
        return State.CUT_OFF if latest.is_file() or best.is_file() else State.NEW


def repeat_root(results: Path, repeat: int) -> Path:
    """What ``nnUNet_results`` has to be for a repeat."""
    return results / f"repeat_{repeat}" if repeat else results


def repeats_in(results: Path) -> list[int]:
    """The repeats that a results folder holds."""
    matches = (re.fullmatch(r"repeat_([1-9]\d*)", folder.name) for folder in results.glob("repeat_*"))
    return [0, *sorted(int(match[1]) for match in matches if match)]


def _is_newer(file: Path, than: Path) -> bool:
    return file.is_file() and file.stat().st_mtime > than.stat().st_mtime


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_text())
    except (OSError, ValueError):  # not there, or nnU-Net was killed while it wrote
        return False
    return True

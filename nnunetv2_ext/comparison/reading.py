"""nnU-Net's results folders as models with their scores, whoever trained them. Imports no torch."""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PureWindowsPath
from typing import Any, TypeVar

from nnunetv2_ext.descriptions.json_file import read_json_file
from nnunetv2_ext.errors import ComparisonError, DatasetError
from nnunetv2_ext.runs import RUN_CARD, Run, State, repeat_root, repeats_in
from nnunetv2_ext.training_log import Epoch, read_epochs

PREDICT_AGAIN = "nnUNetv2_train with --val writes the predictions of a fold again."

Content = TypeVar("Content")


class FinishedRun:
    """A run that was validated, with what lies in its folder."""

    def __init__(self, run: Run, file_ending: str) -> None:
        self.run = run
        self._file_ending = file_ending

    @cached_property
    def scores(self) -> dict[str, dict[str, dict[str, float]]]:
        """nnU-Net's metrics by case, then by class as the summary names it ("1", or "(1, 2)" for a region)."""
        summary = json.loads(self.run.summary_file.read_text())
        return {self._case(entry["prediction_file"]): entry["metrics"] for entry in summary["metric_per_case"]}

    @cached_property
    def card(self) -> dict[str, Any]:
        """Our run card; empty for a trainer that writes none, and where it is damaged."""
        try:
            return _read_json(self.run.folder / RUN_CARD) or {}
        except DatasetError:
            return {}

    @cached_property
    def epochs(self) -> dict[int, Epoch]:
        """The learning curves."""
        return read_epochs(self.run.folder)

    @property
    def epoch_seconds(self) -> list[float]:
        """Of the epochs that were not cut off."""
        return [epoch.seconds for epoch in self.epochs.values() if not math.isnan(epoch.seconds)]

    def prediction(self, case: str) -> Path:
        """The file that nnU-Net predicted in the validation."""
        return self.run.summary_file.parent / f"{case}{self._file_ending}"

    def _case(self, file: str) -> str:
        return PureWindowsPath(file).name.removesuffix(self._file_ending)  # which knows both kinds of slashes


@dataclass
class Model:
    """A trainer with plans, in all folds and repeats."""

    name: str
    trainer: str
    plans_name: str
    configuration_name: str
    runs: dict[tuple[int, str], Run]
    """by repeat and fold, finished or not"""

    @cached_property
    def finished(self) -> dict[tuple[int, str], FinishedRun]:
        """Those that were validated."""
        ending = self.dataset.get("file_ending", ".nii.gz")
        return {key: FinishedRun(run, ending) for key, run in self.runs.items() if run.state() is State.FINISHED}

    @property
    def parts(self) -> list["Model"]:
        """One for each folder with files of its own: repeats have theirs, and so do folds in another results folder."""
        folders = dict.fromkeys(run.model_folder for run in self.runs.values())
        if len(folders) == 1:
            return [self]
        runs = [{key: run for key, run in self.runs.items() if run.model_folder == folder} for folder in folders]
        return [replace(self, name=f"{self.name} in {next(iter(part.values())).root}", runs=part) for part in runs]

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """What the plans beside the checkpoints say of the configuration, with what it inherits."""
        return _configuration(self._file("plans.json") or {}, self.configuration_name)

    @cached_property
    def dataset(self) -> dict[str, Any]:
        """dataset.json as it was when the model was trained; empty if it isn't there."""
        return self._file("dataset.json") or {}

    @cached_property
    def fingerprint(self) -> dict[str, Any] | None:
        """nnU-Net's fingerprint of the data as it was when the model was trained."""
        return self._file("dataset_fingerprint.json")

    def _file(self, name: str) -> dict[str, Any] | None:
        folder = next(iter(self.runs.values())).model_folder
        return _read_json(folder / name)


def read_models(
    results: Sequence[Path],
    dataset: str,
    configuration: str,
    trainers: Sequence[str] = (),
    plans: Sequence[str] = ("nnUNetPlans",),
) -> list[Model]:
    """The models of these trainers, in the order given; of all trainers, by name, if none is given.

    Raises:
        ComparisonError: if there are none, or one of those asked for isn't there.
    """
    there = [run for folder in results for run in _runs(folder, dataset)]
    runs = [run for run in there if run.configuration == configuration and run.plans in plans]
    runs = [run for run in runs if not trainers or run.trainer in trainers]
    places = " or ".join(str(folder / dataset) for folder in results)
    for trainer in trainers:
        if trainer not in {run.trainer for run in runs}:
            found = sorted({run.trainer for run in there})
            raise ComparisonError(
                f"{places} has no run of {trainer} with {' or '.join(plans)} and {configuration}. "
                f"Trainers that have runs there: {', '.join(found) or 'none'}."
            )
    for name in plans:
        if name not in {run.plans for run in runs}:
            by_whom = f" by {' or '.join(trainers)}" if trainers else ""
            found = sorted({f"{run.trainer} with {run.plans} and {run.configuration}" for run in there})
            raise ComparisonError(
                f"{places} has no run of {configuration} with {name}{by_whom}; -c and -p name them. "
                f"Runs that are there: {', '.join(found) or 'none'}."
            )
    names = dict.fromkeys((run.trainer, run.plans) for run in runs)
    order = sorted(names, key=lambda name: (trainers.index(name[0]) if trainers else 0, name))
    return [_model(name, [run for run in runs if (run.trainer, run.plans) == name], len(plans) > 1) for name in order]


def read_image(read: Callable[[str], Content], file: Path, cure: str) -> Content:
    """What one of nnU-Net's readers reads from a file.

    Raises:
        ComparisonError: if the file isn't there, or the reader can't read it; the message ends with the cure.
    """
    if not file.is_file():
        raise ComparisonError(f"{file} doesn't exist. {cure}")
    try:
        return read(str(file))
    except Exception as error:  # each of nnU-Net's readers has errors of its own
        raise ComparisonError(f"{file} can't be read, it may be damaged. {cure}") from error


def _model(name: tuple[str, str], runs: list[Run], several_plans: bool) -> Model:
    by_key: dict[tuple[int, str], Run] = {}
    for run in runs:
        key = (run.repeat, run.fold)
        if key in by_key:
            raise ComparisonError(
                f"{by_key[key].folder} and {run.folder} are the same fold of the same trainer. Name one of the two results "
                "folders, or move one of them into a folder repeat_1 beside the other's datasets to count as a repeat."
            )
        by_key[key] = run
    return Model(f"{name[0]} ({name[1]})" if several_plans else name[0], *name, runs[0].configuration, by_key)


def _runs(results: Path, dataset: str) -> Iterable[Run]:
    for repeat in repeats_in(results):
        for folder in sorted((repeat_root(results, repeat) / dataset).glob("*__*__*/fold_*")):
            trainer, plans, configuration = folder.parent.name.split("__", 2)
            fold = folder.name.removeprefix("fold_")
            if fold.isdecimal() or fold == "all":  # not fold_0_old, which someone put aside
                yield Run(results, dataset, trainer, plans, configuration, fold, repeat)


def _configuration(plans: dict[str, Any], name: str) -> dict[str, Any]:
    own = plans.get("configurations", {}).get(name, {})
    inherited = _configuration(plans, own["inherits_from"]) if "inherits_from" in own else {}
    return {**inherited, **own}


def _read_json(file: Path) -> dict[str, Any] | None:
    cure = "nnU-Net writes it beside a model: restore it, or put the model aside."
    return read_json_file(file, dict, cure) if file.is_file() else None

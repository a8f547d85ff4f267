#!/usr/bin/env python
"""nnU-Net's integration test with trainers of yours: from raw data to postprocessed predictions of the best configuration.

The datasets are nnU-Net's own integration datasets (996: regions and an ignore label, 997: regions, 998: an ignore label, 999:
neither), made by its own scripts from a Dataset004_Hippocampus: yours, or a small synthetic one. Each step is one of nnU-Net's
commands with the arguments that a user would type.
"""

import importlib
import json
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import click
import numpy as np
import SimpleITK
from integration.hippocampus import SOURCE, copy_source, write_synthetic_source
from integration.steps import Steps, print_table

from nnunetv2_ext.cli.multi_value_options import MultiValueCommand
from nnunetv2_ext.descriptions.plans_json import CONFIGURATIONS
from nnunetv2_ext.paths import HOST_FOLDERS, SHIM, TRAINER_FOLDERS
from nnunetv2_ext.presets import PRESETS

DATASETS = {
    996: "Dataset996_IntegrationTest_Hippocampus_regions_ignore",
    997: "Dataset997_IntegrationTest_Hippocampus_regions",
    998: "Dataset998_IntegrationTest_Hippocampus_ignore",
    999: "Dataset999_IntegrationTest_Hippocampus",
}
FOLDS = ("0", "1", "2", "3", "4")
HEAVY_MODULES = ("nnunetv2.run.run_training", "nnunetv2.evaluation.find_best_configuration")


class Integration:
    """The steps for one dataset.

    Args:
        folds: of ``FOLDS``, and ``all``, which is trained and predicted with, but can't be compared.
        validate_again: whether to run nnUNetv2_train with --val after each training.
        ensembles: whether pairs of configurations are compared, too.
        small: whether networks and batches are made small after planning, so that a CPU trains them in seconds.
    """

    def __init__(
        self,
        identifier: int,
        folder: Path,
        steps: Steps,
        *,
        configurations: Sequence[str],
        folds: Sequence[str],
        validate_again: bool,
        ensembles: bool,
        small: bool,
        device: str,
    ) -> None:
        self._id, self._name = identifier, DATASETS[identifier]
        self._folder, self._steps = folder, steps
        self._configurations = [name for name in CONFIGURATIONS if name in configurations]
        self._folds, self._validate_again, self._ensembles = folds, validate_again, ensembles
        self._small, self._device = small, device
        self._predictions = folder / "predictions" / str(identifier)
        self._test_images = folder / "nnUNet_raw" / self._name / "imagesTs"

    def run(self, trainers: Sequence[str]) -> None:
        planned = self._plan()
        trained = [self._train(trainer, planned) for trainer in trainers]
        if any(fold in FOLDS for fold in self._folds):
            self._find_best(trainers, all(trained))

    def _plan(self) -> bool:
        d, steps = self._id, self._steps
        module = f"nnunetv2.dataset_conversion.datasets_for_integration_tests.{self._name}"
        ok = steps.module(f"{d} dataset", module)
        what = ("-d", d, "--verify_dataset_integrity", "--no_pp", "-npfp", 1)
        # nnU-Net can train without a worker for augmentation, but not plan
        ok = steps.command(f"{d} plan", "nnUNetv2_plan_and_preprocess", *what, needs=ok, nnUNet_n_proc_DA="1")
        ok = steps.module(f"{d} add cascade", "nnunetv2.tests.integration_tests.add_lowres_and_cascade", "-d", d, needs=ok)
        if self._small:
            ok = steps.call(f"{d} shrink networks", self._shrink, needs=ok)
        # The cascade's own stage works on the preprocessed data of 3d_fullres.
        wanted = dict.fromkeys(name.replace("_cascade", "") for name in self._configurations)
        if "3d_cascade_fullres" in self._configurations:
            wanted["3d_lowres"] = None
        return steps.command(f"{d} preprocess", "nnUNetv2_preprocess", "-d", d, "-c", *wanted, "-np", 1, needs=ok)

    def _shrink(self) -> None:
        file = self._folder / "nnUNet_preprocessed" / self._name / "nnUNetPlans.json"
        plans = json.loads(file.read_text())
        for configuration in plans["configurations"].values():
            if "batch_size" in configuration:
                configuration["batch_size"] = 2
            if "architecture" in configuration:
                arguments = configuration["architecture"]["arch_kwargs"]
                arguments["features_per_stage"] = [min(8 * 2**stage, 32) for stage in range(arguments["n_stages"])]
        file.write_text(json.dumps(plans, indent=4))

    def _train(self, trainer: str, planned: bool) -> bool:
        """Trains and predicts with each configuration; whether all of it could be done."""
        done: dict[str, bool] = {}
        for configuration in self._configurations:
            # The cascade starts from what the stage before it predicted.
            ok = done["3d_lowres"] if configuration == "3d_cascade_fullres" else planned
            results = [self._train_fold(trainer, configuration, fold, ok) for fold in self._folds]
            for folds in ([fold for fold in self._folds if fold in FOLDS], ["all"] if "all" in self._folds else []):
                if folds:
                    results.append(self._predict(trainer, configuration, folds, all(results)))
            done[configuration] = all(results)
        return all(done.values())

    def _train_fold(self, trainer: str, configuration: str, fold: str, ok: bool) -> bool:
        title = f"{self._id} {configuration} {trainer} train fold {fold}"
        command = ("nnUNetv2_train", self._id, configuration, fold, "-tr", trainer, "-device", self._device, "--npz")
        trained = self._steps.command(title, *command, needs=ok)
        if self._validate_again:
            trained = self._steps.command(f"{title} --val", *command, "--val", needs=trained)
        return trained

    def _predict(self, trainer: str, configuration: str, folds: Sequence[str], ok: bool) -> bool:
        """Predicts the test cases, with the folds as one ensemble."""
        out = self._predicted(trainer, folds)
        what = ("-d", self._id, "-c", configuration, "-tr", trainer, "-f", *folds, "-i", self._test_images)
        previous = ("-prev_stage_predictions", out / "3d_lowres") if configuration == "3d_cascade_fullres" else ()
        title, words = f"{self._id} {configuration} {trainer} predict {' '.join(folds)}", (*what, "-o", out / configuration)
        ok = self._steps.command(title, "nnUNetv2_predict", *words, *previous, *self._how("nnUNetv2_predict"), needs=ok)
        return ok and self._steps.call(f"{title} check", lambda: self._check(out / configuration))

    def _predicted(self, trainer: str, folds: Sequence[str]) -> Path:
        """The folder with what these folds of a trainer predicted, by configuration."""
        return self._predictions / trainer / "_".join(folds)

    def _find_best(self, trainers: Sequence[str], ok: bool) -> None:
        """Compares all trainers and configurations, and runs the commands that this writes down for the user."""
        folds = [fold for fold in self._folds if fold in FOLDS]
        what = ("-c", *self._configurations, "-tr", *trainers, "-f", *folds, "-np", 1)
        how = () if self._ensembles else ("--disable_ensembling",)
        ok = self._steps.command(f"{self._id} find best", "nnUNetv2_find_best_configuration", self._id, *what, *how, needs=ok)
        for command, *arguments in self._instructions() if ok else ():
            title = f"{self._id} best {command.removeprefix('nnUNetv2_')}"
            ok = self._steps.command(title, command, *arguments, needs=ok)
        self._steps.call(f"{self._id} best check", lambda: self._check(self._predictions / "OUTPUT_FOLDER_PP"), needs=ok)

    def _instructions(self) -> Iterator[list[str]]:
        """The commands that find_best_configuration tells a user to run next, with folders in place of its capitals."""
        file = self._folder / "nnUNet_results" / self._name / "inference_instructions.txt"
        for line in file.read_text().splitlines():
            if line.startswith("nnUNetv2_"):
                words = [
                    str(self._predictions / word) if word.startswith("OUTPUT_FOLDER") else word for word in shlex.split(line)
                ]
                words = [str(self._test_images) if word == "INPUT_FOLDER" else word for word in words]
                yield [*words, *self._previous_stage(words), *self._how(words[0])]

    def _previous_stage(self, words: list[str]) -> tuple[str, ...]:
        """What nnU-Net forgets to write down for the cascade: where the predictions of 3d_lowres are."""
        if words[0] != "nnUNetv2_predict" or "3d_cascade_fullres" not in words:
            return ()
        folds = [fold for fold in self._folds if fold in FOLDS]
        trainer = words[words.index("-tr") + 1]
        return ("-prev_stage_predictions", str(self._predicted(trainer, folds) / "3d_lowres"))

    def _how(self, command: str) -> tuple[str, ...]:
        return ("-device", self._device, "-npp", "0", "-nps", "0") if command == "nnUNetv2_predict" else ()

    def _check(self, folder: Path) -> None:
        """Every test case has a prediction of its own size, and nothing in it but the dataset's labels."""
        images = sorted(self._test_images.iterdir())
        print(f"{len(images)} cases in {folder}")
        for image in images:
            prediction = SimpleITK.ReadImage(str(folder / image.name.replace("_0000", "")))
            if prediction.GetSize() != SimpleITK.ReadImage(str(image)).GetSize():
                raise ValueError(f"the prediction of {image.name} has a size of {prediction.GetSize()}")
            if found := set(np.unique(SimpleITK.GetArrayFromImage(prediction))) - {0, 1, 2}:
                raise ValueError(f"the prediction of {image.name} has the labels {found}")


def set_variables(folder: Path) -> None:
    """nnU-Net's variables for this process and those that it starts: folders of the run's own, one worker."""
    for name in HOST_FOLDERS:
        os.environ[name] = str(folder / name)
        (folder / name).mkdir()
    os.environ[TRAINER_FOLDERS] = str(SHIM)
    for name, value in {"def_n_proc": "1", "n_proc_DA": "1", "compile": "false"}.items():
        os.environ.setdefault(f"nnUNet_{name}", value)
    # A thread that waits sleeps instead of spinning, which would take the core from the processes that it waits for.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def import_before_forking(trainers: Sequence[str]) -> None:
    """Imports what the steps will need, and so refuses a trainer that nnU-Net doesn't find."""
    for name in HEAVY_MODULES:
        importlib.import_module(name)
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    for trainer in trainers:
        with redirect_stdout(StringIO()):  # it prints where it looks
            recursive_find_trainer_class_by_name(trainer)


@click.command(
    cls=MultiValueCommand,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: scripts/host_integration.py nnUNetTrainerEGE_2epochs_2iters --folder integration --configurations 2d",
)
@click.argument("trainers", nargs=-1)
@click.option("--every-preset", metavar="SUFFIX", help="The trainers of all presets with this suffix, such as _2epochs_2iters.")
@click.option("--folder", required=True, type=click.Path(exists=False, path_type=Path), help="A new folder for everything.")
@click.option("--raw", type=click.Path(exists=True, path_type=Path), help=f"Has {SOURCE}. Default: a synthetic one.")
@click.option("--datasets", multiple=True, type=click.IntRange(996, 999), default=(996,), show_default=True)
@click.option("--configurations", multiple=True, type=click.Choice(CONFIGURATIONS), default=CONFIGURATIONS, show_default=True)
@click.option("--folds", multiple=True, type=click.Choice([*FOLDS, "all"]), default=FOLDS, show_default=True)
@click.option("--cases", type=click.IntRange(min=5), default=10, show_default=True, help="To train on; five folds need five.")
@click.option("--validate-again", is_flag=True, help="Run each training's validation a second time, with --val.")
@click.option("--no-ensembles", is_flag=True, help="Don't compare pairs, of which many trainers have very many.")
@click.option(
    "--full-size", is_flag=True, help="Networks and batches as planned; by default they are shrunk to what a CPU can do."
)
@click.option("--device", type=click.Choice(["cpu", "cuda", "mps"]), default="cpu", show_default=True)
@click.pass_context
def main(
    context: click.Context,
    trainers: tuple[str, ...],
    every_preset: str | None,
    folder: Path,
    raw: Path | None,
    datasets: tuple[int, ...],
    configurations: tuple[str, ...],
    folds: tuple[str, ...],
    cases: int,
    validate_again: bool,
    no_ensembles: bool,
    full_size: bool,
    device: str,
) -> None:
    """Run nnU-Net's integration test with TRAINERS.

    Plans, preprocesses, trains with --npz, predicts, finds the best configuration, runs the commands that it writes down
    (predict, ensemble, postprocess), and checks what was predicted. Exit code 1 if one step fails.
    """
    if every_preset is not None:
        trainers += tuple(f"nnUNetTrainer{preset}{every_preset}" for preset in PRESETS)
    if not trainers:
        raise click.UsageError("name a trainer, or take --every-preset")
    if "3d_cascade_fullres" in configurations and not ("3d_lowres" in configurations and set(FOLDS) <= set(folds)):
        raise click.UsageError("3d_cascade_fullres starts from predictions of all cases: it needs 3d_lowres and all five folds")

    folder = folder.resolve()
    folder.mkdir(parents=True)
    set_variables(folder)
    if raw:
        copy_source(raw / SOURCE, folder / "nnUNet_raw", cases)
    else:
        write_synthetic_source(folder / "nnUNet_raw", cases)
    import_before_forking(trainers)
    steps = Steps(folder / "logs")
    for dataset in datasets:
        integration = Integration(
            dataset,
            folder,
            steps,
            configurations=configurations,
            folds=folds,
            validate_again=validate_again,
            ensembles=not no_ensembles,
            small=not full_size,
            device=device,
        )
        integration.run(trainers)
    print_table(steps.rows)
    context.exit(any(step.state != "ok" for step in steps.rows))


if __name__ == "__main__":
    main()

"""The demo from end to end: data, plan, training, prediction, evaluation, report."""

import itertools
import time
from pathlib import Path

from rich.console import Console

from nnunetv2_ext.demo import report
from nnunetv2_ext.demo.anatomy import LABELS, load_template
from nnunetv2_ext.demo.baselines import UNTRAINED, write_thresholds, write_untrained_checkpoint
from nnunetv2_ext.demo.dataset import IDENTIFIER, NAME, write_dataset
from nnunetv2_ext.demo.host import Host

CONFIGURATION = "3d_fullres"
# For the host's planner, in GB: small patches, since many quick iterations teach more in a few minutes than a few slow ones.
MEMORY_TARGET = 0.08
ITERATIONS = 25
EPOCHS = {"cpu": 10, "mps": 10, "cuda": 40}
TRAINED, BEFORE, THRESHOLD = "EGE, trained", "EGE, before training", "intensity threshold (Otsu)"


class Pipeline:
    """The steps of the demo, in a new folder below ``parent``.

    Raises:
        ExtensionError: if the data isn't installed or, in a step, one of the host's commands fails.
    """

    def __init__(self, parent: Path, device: str, epochs: int | None, console: Console) -> None:
        self._template = load_template()
        self._console = console
        self._device = device
        self.folder = new_folder(parent)
        self._host = Host(self.folder, console)
        self._trainer = f"nnUNetTrainerEGE_{epochs or EPOCHS[device]}epochs_{ITERATIONS}iters"
        self._dataset = self._host.raw / NAME
        self._model = self._host.results / NAME / f"{self._trainer}__nnUNetPlans__{CONFIGURATION}"
        names = {TRAINED: "trained", BEFORE: "untrained", THRESHOLD: "threshold"}
        self._predictions = {method: self.folder / "predictions" / name for method, name in names.items()}

    def run(self) -> None:
        steps = (
            ("Data: crops of a brain template from nilearn", self._write_data),
            ("Plan and preprocess", self._plan),
            (f"Train EGE on {self._device}", self._train),
            ("Predict the test crops", self._predict),
            ("Evaluate", self._evaluate),
            ("Report", self._report),
        )
        began = time.monotonic()
        self._say(f"Everything goes into {self.folder}")
        for number, (title, do) in enumerate(steps, start=1):
            self._console.rule(f"[bold]{number}/{len(steps)} {title}[/bold]  {_minutes(began)}", align="left")
            do()
        self._say(f"Done in {_minutes(began)} on {self._device}.")

    def _write_data(self) -> None:
        write_dataset(self._host.raw, self._template)
        training, testing = (len(list((self._dataset / name).iterdir())) for name in ("labelsTr", "labelsTs"))
        self._say(
            f"{training} crops to train on and {testing} to test on, labelled {', '.join(LABELS)}. Contrast, sensitivity, gain "
            "and noise are simulated and differ from crop to crop.\n"
            "[yellow]This is a smoke demo and no benchmark[/yellow]: all crops are of one averaged brain. It is symmetric, so "
            "they come from one hemisphere; test crops are from slabs of it that no training crop reaches into."
        )

    def _plan(self) -> None:
        processes = ("-npfp", self._host.processes, "-np", self._host.processes)
        what = ("-d", IDENTIFIER, "-c", CONFIGURATION, "-gpu_memory_target", MEMORY_TARGET, "--verify_dataset_integrity")
        self._host("nnUNetv2_plan_and_preprocess", *what, *processes)

    def _train(self) -> None:
        self._host("nnUNetv2_train", IDENTIFIER, CONFIGURATION, 0, "-tr", self._trainer, "-device", self._device)

    def _predict(self) -> None:
        def predict(output: Path, *more: str) -> None:
            folders = ("-i", self._dataset / "imagesTs", "-o", output)
            model = ("-d", IDENTIFIER, "-c", CONFIGURATION, "-f", 0, "-tr", self._trainer, "-device", self._device)
            self._host("nnUNetv2_predict", *folders, *model, "--disable_tta", "-npp", 1, "-nps", 1, *more)

        predict(self._predictions[TRAINED])
        write_untrained_checkpoint(self._model / "fold_0")
        predict(self._predictions[BEFORE], "-chk", UNTRAINED)
        write_thresholds(self._dataset / "imagesTs", self._predictions[THRESHOLD], classes=len(LABELS))

    def _evaluate(self) -> None:
        descriptions = ("-djfile", self._model / "dataset.json", "-pfile", self._model / "plans.json")
        for prediction in self._predictions.values():
            self._host("nnUNetv2_evaluate_folder", self._dataset / "labelsTs", prediction, *descriptions, "-np", 1)

    def _report(self) -> None:
        figure = self.folder / "comparison.png"
        report.figure(self._dataset / "imagesTs", self._dataset / "labelsTs", self._predictions, figure)
        scores = {method: report.dice_per_class(path / "summary.json") for method, path in self._predictions.items()}
        cases = len(list((self._dataset / "labelsTs").iterdir()))
        self._console.print(report.table(scores, cases))
        self._say("A smoke demo and no benchmark: one averaged brain, a short training.")
        self._say(f"Image, truth and predictions: {figure}")
        self._say(f"Training curve: {self._model / 'fold_0' / 'progress.png'}")

    def _say(self, text: str) -> None:
        # Not wrapped by rich, which would break paths.
        self._console.print(text, soft_wrap=True, highlight=False)


def _minutes(began: float) -> str:
    elapsed = int(time.monotonic() - began)
    return f"{elapsed // 60} min {elapsed % 60:02d} s"


def new_folder(parent: Path) -> Path:
    """Makes the first of ``run_1``, ``run_2``, ... that isn't there: a run never touches an earlier one."""
    parent = parent.resolve()
    parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        folder = parent / f"run_{number}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError

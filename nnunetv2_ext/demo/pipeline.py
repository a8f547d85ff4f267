"""The demo from end to end: data, plan, training, prediction, evaluation, report."""

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from rich.console import Console

from nnunetv2_ext.demo import report, trainer
from nnunetv2_ext.demo.anatomy import LABELS, load_template
from nnunetv2_ext.demo.baselines import UNTRAINED, write_thresholds, write_untrained_checkpoint
from nnunetv2_ext.demo.dataset import IDENTIFIER, NAME, write_dataset
from nnunetv2_ext.demo.host import Host
from nnunetv2_ext.demo.plan import CONFIGURATION, PARENT, add_narrow_configuration
from nnunetv2_ext.demo.steps import Steps

THRESHOLD = "intensity threshold (Otsu)"
# For nnU-Net's planner, in GB. It sets the patch: the whole crop.
MEMORY_TARGET = 0.5
Done = Callable[[], None]


class Pipeline:
    """The steps of the demo, in a new folder below ``parent``.

    Args:
        parent: where the run's own folder is made.
        device: nnU-Net's name of it.
        trainer_name: ours without a length is given one that suits the demo.
        verbose: show what nnU-Net's commands print.
        console: where to print.

    Raises:
        ExtensionError: if the data isn't installed, there is no such trainer or, in a step, one of nnU-Net's commands fails.
    """

    def __init__(self, parent: Path, device: str, trainer_name: str, console: Console, *, verbose: bool) -> None:
        self._trainer = trainer.resolve(trainer_name)
        self._template = load_template()
        self._console = console
        self._device = device
        self.folder = new_folder(parent)
        self._host = Host(self.folder, self._say if verbose else lambda _line: None)
        self._dataset = self._host.raw / NAME
        self._model = self._host.results / NAME / f"{self._trainer}__nnUNetPlans__{CONFIGURATION}"
        label = trainer.label(self._trainer)
        names = {f"{label}, trained": "trained", f"{label}, before training": "untrained", THRESHOLD: "threshold"}
        self._predictions = {method: self.folder / "predictions" / name for method, name in names.items()}

    def run(self) -> None:
        steps = (
            ("Data: crops of a brain template", 1, self._write_data),
            ("Plan and preprocess", 1, self._plan),
            (
                f"Train {self._trainer.removeprefix('nnUNetTrainer')} on {self._device}",
                trainer.epochs(self._trainer),
                self._train,
            ),
            ("Predict the test crops", 3, self._predict),
            ("Evaluate", len(self._predictions), self._evaluate),
            ("Draw", 1, self._draw),
        )
        began = time.monotonic()
        self._say(
            f"From data to predictions with nnU-Net's own commands. {trainer.duration(self._trainer)}\n"
            f"Everything goes into {self.folder}"
        )
        with Steps(self._console, len(steps)) as shown:
            for title, parts, do in steps:
                with shown.step(title, parts) as done:
                    do(done)
        self._report(time.monotonic() - began)

    def _write_data(self, done: Done) -> None:
        write_dataset(self._host.raw, self._template)
        done()

    def _plan(self, done: Done) -> None:
        processes = ("-npfp", self._host.processes, "-np", self._host.processes)
        what = ("-d", IDENTIFIER, "-c", PARENT, "-gpu_memory_target", MEMORY_TARGET, "--verify_dataset_integrity")
        self._host("nnUNetv2_plan_and_preprocess", *what, *processes)
        add_narrow_configuration(self._host.preprocessed / NAME / "nnUNetPlans.json")
        done()

    def _train(self, done: Done) -> None:
        # On a CPU loading takes a fiftieth of an iteration, and starting workers for it much longer than they save.
        workers = {"nnUNet_n_proc_DA": "0"} if self._device == "cpu" else {}
        what = (IDENTIFIER, CONFIGURATION, 0, "-tr", self._trainer, "-device", self._device)
        self._host("nnUNetv2_train", *what, each=("Epoch time:", done), **workers)

    def _predict(self, done: Done) -> None:
        trained, untrained, threshold = self._predictions.values()

        def predict(output: Path, *more: str) -> None:
            folders = ("-i", self._dataset / "imagesTs", "-o", output)
            model = ("-d", IDENTIFIER, "-c", CONFIGURATION, "-f", 0, "-tr", self._trainer, "-device", self._device)
            # No processes beside the one: starting them would take longer than the prediction.
            self._host("nnUNetv2_predict", *folders, *model, "--disable_tta", "-npp", 0, "-nps", 0, *more)
            done()

        write_thresholds(self._dataset / "imagesTs", threshold, classes=len(LABELS))
        done()
        write_untrained_checkpoint(self._model / "fold_0")
        at_once(partial(predict, trained), partial(predict, untrained, "-chk", UNTRAINED))

    def _evaluate(self, done: Done) -> None:
        descriptions = ("-djfile", self._model / "dataset.json", "-pfile", self._model / "plans.json")

        def evaluate(prediction: Path) -> None:
            self._host("nnUNetv2_evaluate_folder", self._dataset / "labelsTs", prediction, *descriptions, "-np", 1)
            done()

        at_once(*(partial(evaluate, prediction) for prediction in self._predictions.values()))

    def _draw(self, done: Done) -> None:
        report.figure(self._dataset / "imagesTs", self._dataset / "labelsTs", self._predictions, self._picture)
        done()

    @property
    def _picture(self) -> Path:
        return self.folder / "comparison.png"

    def _report(self, seconds: float) -> None:
        scores = {method: report.dice_per_class(path / "summary.json") for method, path in self._predictions.items()}
        training, testing = (len(list((self._dataset / name).iterdir())) for name in ("labelsTr", "labelsTs"))
        self._console.print(report.table(scores, testing))
        self._say(
            f"{training} crops to train on, {testing} others to test on, all of one averaged brain: a demo, no benchmark.\n"
            f"Done in {int(seconds) // 60} min {int(seconds) % 60:02d} s on {self._device}. Look at\n"
            f"  {self._picture}  images, truth and predictions\n"
            f"  {self._model / 'fold_0' / 'progress.png'}  the training\n"
            f"  {self._dataset}  the data\n"
            f"  {self._host.log}  the commands, and all they printed"
        )

    def _say(self, text: str) -> None:
        # As it is: no wrapping, which would break paths, and no markup, which nnU-Net's brackets would be taken for.
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)


def at_once(*tasks: Callable[[], None]) -> None:
    """Runs the tasks two at a time: most of what they take is the start of nnU-Net's commands, on one core each."""
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(task) for task in tasks]:
            done.result()


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

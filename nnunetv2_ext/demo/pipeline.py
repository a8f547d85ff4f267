"""The demo from end to end: data, plan, training, prediction, evaluation, report."""

import itertools
import time
from pathlib import Path

from rich.console import Console

from nnunetv2_ext.demo import report
from nnunetv2_ext.demo.anatomy import LABELS
from nnunetv2_ext.demo.baselines import UNTRAINED, write_thresholds, write_untrained_checkpoint
from nnunetv2_ext.demo.dataset import IDENTIFIER, NAME, write_dataset
from nnunetv2_ext.demo.host import Host

CONFIGURATION = "3d_fullres"
# For the host's planner, in GB: small patches, since many quick iterations teach more in a few minutes than a few slow ones.
MEMORY_TARGET = 0.05
ITERATIONS = 25
EPOCHS = {"cpu": 12, "mps": 12, "cuda": 40}
STEPS = 6


def run(parent: Path, device: str, epochs: int | None, console: Console) -> Path:
    """Runs the demo in a new folder below ``parent``, which it returns.

    Raises:
        ExtensionError: if the data isn't installed or one of the host's commands fails.
    """
    began = time.monotonic()
    steps = itertools.count(1)

    def step(title: str) -> None:
        elapsed = int(time.monotonic() - began)
        console.rule(f"[bold]{next(steps)}/{STEPS} {title}[/bold]  {elapsed // 60}:{elapsed % 60:02d}", align="left")

    folder = new_folder(parent)
    trainer = f"nnUNetTrainerEGE_{epochs or EPOCHS[device]}epochs_{ITERATIONS}iters"
    console.print(f"Everything goes into {folder}", soft_wrap=True)
    host = Host(folder, console)
    model = host.results / NAME / f"{trainer}__nnUNetPlans__{CONFIGURATION}"
    images, truth = (host.raw / NAME / name for name in ("imagesTs", "labelsTs"))

    step("Data: crops of the MNI152 template out of the installed nilearn")
    dataset = write_dataset(host.raw)
    training, testing = (len(list((dataset / name).iterdir())) for name in ("labelsTr", "labelsTs"))
    console.print(
        f"{training} crops to train on and {testing} to test on, labelled {', '.join(LABELS)}; contrast, sensitivity, gain and "
        "noise are simulated and differ from crop to crop.\n"
        "[yellow]This is a smoke demo and no benchmark[/yellow]: all crops are of one averaged brain. It is symmetric, so they "
        "come from one hemisphere alone; test crops are from parts of it, further to the front or back, that aren't trained on."
    )

    step("Plan and preprocess")
    small = ("-gpu_memory_target", MEMORY_TARGET)
    processes = ("-npfp", host.processes, "-np", host.processes)
    host(
        "nnUNetv2_plan_and_preprocess", "-d", IDENTIFIER, "-c", CONFIGURATION, "--verify_dataset_integrity", *small, *processes
    )

    step(f"Train EGE on {device}")
    host("nnUNetv2_train", IDENTIFIER, CONFIGURATION, 0, "-tr", trainer, "-device", device)

    step("Predict the test crops: trained, before training, by threshold")
    predictions = {
        "EGE, trained": folder / "predictions" / "trained",
        "EGE, before training": folder / "predictions" / "untrained",
        "intensity threshold (Otsu)": folder / "predictions" / "threshold",
    }
    trained, untrained, threshold = predictions.values()
    write_untrained_checkpoint(model / "fold_0")
    predict = ("-d", IDENTIFIER, "-c", CONFIGURATION, "-f", 0, "-tr", trainer, "-device", device, "--disable_tta")
    processes = ("-npp", 1, "-nps", 1)
    host("nnUNetv2_predict", "-i", images, "-o", trained, *predict, *processes)
    host("nnUNetv2_predict", "-i", images, "-o", untrained, *predict, *processes, "-chk", UNTRAINED)
    write_thresholds(images, threshold, classes=len(LABELS))

    step("Evaluate")
    for prediction in predictions.values():
        descriptions = ("-djfile", model / "dataset.json", "-pfile", model / "plans.json")
        host("nnUNetv2_evaluate_folder", truth, prediction, *descriptions, "-np", 1)

    step("Report")
    comparison = folder / "comparison.png"
    report.figure(images, truth, predictions, comparison)
    scores = {method: report.dice_per_class(path / "summary.json") for method, path in predictions.items()}
    elapsed = int(time.monotonic() - began)
    console.print(report.table(scores, testing))
    console.print("A smoke demo and no benchmark: one averaged brain, a short training.")
    console.print(f"Image, truth and predictions: {comparison}", soft_wrap=True)
    console.print(f"Training curve:               {model / 'fold_0' / 'progress.png'}", soft_wrap=True)
    console.print(f"Done in {elapsed // 60} min {elapsed % 60} s on {device}.")
    return folder


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

"""Runs the experiments of docs/results.md and writes their tables into it: see scripts/results.sh."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
from published_runs import pack, unpack

from nnunetv2_ext.datasets import host_folder
from nnunetv2_ext.runs import Run, State, repeats_in

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "results.md"
PUBLISHED = ROOT / "docs" / "results"
"""has the scores of each experiment's runs, which are not trained again where they are"""
WITHOUT_ONE = ("EGENoMBTFE", "EGENoEAB", "EGENoGHPA", "EGENoGAB")
ALONE = ("MBTFE", "EAB", "GHPA", "GAB")
# of scripts/results_presets/choices.py
CHOICES = ("EGEPlanNorm", "EGEGHPAEverywhere", "EGENoMasks")
NO_SHORTCUTS = "EGENoShortcuts"
OPTIMIZERS = {"": "", "Adan": "", "AdamW": "_lr1e-3"}
"""nnU-Net's SGD and others, each with the suffix of its learning rate"""
LOSSES = ("", "DiceLoss", "CEThenDiceLoss")


@dataclass(frozen=True)
class Experiment:
    """One table; the first preset is the reference."""

    title: str
    dataset: str
    configuration: str
    presets: tuple[str, ...]
    suffixes: str = ""
    """of every trainer"""
    patch: tuple[int, ...] | None = None
    """of the small plan that is trained in place of nnU-Net's"""
    narrow: bool = True
    """whether the small plan has fewer features, too"""
    repeats: int = 1
    device: str = "cpu"


HIPPOCAMPUS, NUCLEI = ("Dataset004_Hippocampus", "3d_fullres"), ("Dataset120_DSB2018", "2d")
# A preset and its length. On two idle cores of an AMD EPYC (AVX2) these take 23 and 34 minutes,
HALF_HOUR = ("PlainNoMirroring_bs2_20epochs_16iters", "NarrowUNetNoMirroring_bs2_20epochs_130iters")
# and these 22, 19 and 22.
LIGHT_HIPPOCAMPUS = (
    "PlainNoMirroring_bs2_20epochs_14iters",
    "NarrowUNetNoMirroring_bs2_20epochs_77iters",
    "EGEUNetNoMirroring_bs2_20epochs_176iters",
)
LIGHT_NUCLEI = ("Plain_bs4_20epochs_10iters", "NarrowUNet_bs4_20epochs_56iters", "EGEUNet_bs4_20epochs_112iters")
PARTS = ("Plain", "EGE", *WITHOUT_ONE, *ALONE, NO_SHORTCUTS, *CHOICES)
RECIPES = tuple(
    f"{preset}{optimizer}{loss}NoMirroring{learning_rate}"
    for preset in ("Plain", "EGE")
    for optimizer, learning_rate in OPTIMIZERS.items()
    for loss in LOSSES
)
# Short, since each experiment has eight networks or more. After so few iterations of SGD, stock can't yet tell the front of the
# hippocampus from its back; with AdamW it can.
SHORT = "_bs2_10epochs_40iters"
ADAMW = "AdamWNoMirroring_lr1e-3"
PARTS_HIPPOCAMPUS = {"suffixes": f"{ADAMW}{SHORT}", "patch": (24, 32, 24)}
RECIPES_HIPPOCAMPUS = {"suffixes": SHORT, "patch": (24, 32, 24)}
PARTS_NUCLEI = {"suffixes": SHORT, "patch": (128, 128)}
SMALL_PLANS, SMALL_PATCH_PLANS = "nnUNetSmallPlans", "nnUNetSmallPatchPlans"
WIDTHS = (8, 64)
"""of the first and the widest stage in narrow plans"""
EXPERIMENTS = {
    "half_hour_hippocampus": Experiment("Half an hour of a CPU: Hippocampus", *HIPPOCAMPUS, HALF_HOUR),
    "light_hippocampus": Experiment("Twenty minutes of a CPU: Hippocampus", *HIPPOCAMPUS, LIGHT_HIPPOCAMPUS),
    "light_nuclei": Experiment("Twenty minutes of a CPU: nuclei", *NUCLEI, LIGHT_NUCLEI),
    "parts_hippocampus": Experiment(
        "Each part of EGE alone, small: Hippocampus",
        *HIPPOCAMPUS,
        ("Plain", "EGE", "EGENoEAB", *ALONE, NO_SHORTCUTS),
        repeats=3,
        **PARTS_HIPPOCAMPUS,
    ),
    "without_parts_hippocampus": Experiment(
        "EGE without each part, and its open choices, small: Hippocampus",
        *HIPPOCAMPUS,
        ("EGE", "Plain", *WITHOUT_ONE, *CHOICES),
        repeats=3,
        device="cuda",
        **PARTS_HIPPOCAMPUS,
    ),
    "full_width_hippocampus": Experiment(
        "Full width: Hippocampus",
        *HIPPOCAMPUS,
        (f"Plain{ADAMW}", f"EAB{ADAMW}", f"GHPA{ADAMW}", "NarrowUNetNoMirroring"),
        suffixes="_bs2_10epochs_100iters",
        device="cuda",
    ),
    "full_width_ege_hippocampus": Experiment(
        "Full width, small patch: Hippocampus", *HIPPOCAMPUS, ("Plain", "EGE"), narrow=False, **PARTS_HIPPOCAMPUS
    ),
    "parts_nuclei": Experiment("Parts of EGE, small: nuclei", *NUCLEI, PARTS, repeats=3, **PARTS_NUCLEI),
    "recipes_hippocampus": Experiment(
        "Optimizers and losses, small: Hippocampus", *HIPPOCAMPUS, RECIPES, **RECIPES_HIPPOCAMPUS
    ),
}


class Runner:
    """Runs experiments in a folder that keeps what is done."""

    def __init__(self, folder: Path, dry_run: bool) -> None:
        self._dry_run = dry_run
        self._folder, self._pages = folder, folder / "pages"
        self._preprocessed = folder / "nnUNet_preprocessed"
        presets = os.pathsep.join(
            filter(None, (str(ROOT / "scripts" / "results_presets"), os.environ.get("nnUNet_extPresets")))
        )
        self._environment = {
            **os.environ,
            "nnUNet_raw": str(host_folder("nnUNet_raw")),
            "nnUNet_preprocessed": str(self._preprocessed),
            "nnUNet_extPresets": presets,
        }
        for path in (self._pages, self._preprocessed):
            path.mkdir(parents=True, exist_ok=True)

    def run(self, name: str, experiment: Experiment) -> None:
        """Trains what is left, compares, and writes the table into docs/results.md and the scores beside it."""
        results = self._folder / f"nnUNet_results_{experiment.device}"  # the same training on each device is not a repeat
        results.mkdir(exist_ok=True)
        self._environment["nnUNet_results"] = str(results)
        plans, archive = self._plan(experiment), PUBLISHED / f"{name}.tar.xz"
        trainers = [f"nnUNetTrainer{preset}{experiment.suffixes}" for preset in experiment.presets]
        if archive.is_file() and not self._dry_run:
            unpack(archive, results)
        runs = partial(_runs, results, experiment, plans, trainers)
        if any(run.state() is not State.FINISHED for run in runs(range(experiment.repeats))):  # else it needs no such device
            self._sweep(experiment, plans, trainers)
        files = {
            kind: self._pages / f"{name}.{suffix}" for kind, suffix in (("markdown", "md"), ("html", "html"), ("csv", "csv"))
        }
        where = ["-d", experiment.dataset, "-c", experiment.configuration, "-p", plans, "-f", "0"]
        outputs = [word for kind, file in files.items() for word in (f"--{kind}", file)]
        compare = ["compare", *where, "-tr", *trainers, "--reference", trainers[0], "--count"]
        self._call("nnUNetv2_ext", *compare, *outputs)
        if not self._dry_run:
            block = f"## {experiment.title}\n\n{files['markdown'].read_text()}"
            text = DOCUMENT.read_text() if DOCUMENT.is_file() else "# Results\n"
            DOCUMENT.write_text(with_block(text, name, f"{block}\nMade by `scripts/results.sh {name}`.\n"))
            pack(archive, results, runs(repeats_in(results)))  # of which compare reads all

    def _plan(self, experiment: Experiment) -> str:
        """Plans and preprocesses if need be; the name of the plans."""
        folder, dataset = self._preprocessed / experiment.dataset, experiment.dataset[7:10]
        if not (folder / "gt_segmentations").is_dir():  # which nnU-Net makes last
            processes = str(os.cpu_count() or 1)
            self._call("nnUNetv2_plan_and_preprocess", "-d", dataset, "-c", experiment.configuration, "-np", processes)
        if experiment.patch is None:
            return "nnUNetPlans"
        name = SMALL_PLANS if experiment.narrow else SMALL_PATCH_PLANS
        if not self._dry_run:
            plans = json.loads((folder / "nnUNetPlans.json").read_text())
            small = smaller(plans, experiment.configuration, experiment.patch, narrow=experiment.narrow)
            (folder / f"{name}.json").write_text(json.dumps(small, indent=4))
        return name

    def _sweep(self, experiment: Experiment, plans: str, trainers: list[str]) -> None:
        where = ["-d", experiment.dataset, "-c", experiment.configuration, "-p", plans, "-f", "0"]
        # one after the other, so that times can be compared
        how = ["--repeats", str(experiment.repeats), "--jobs", "1", "--device", experiment.device]
        self._call("nnUNetv2_ext", "sweep", *where, "-tr", *trainers, *how)

    def _call(self, *command: str | Path) -> None:
        words = [str(word) for word in command]
        print("$", *words, flush=True)
        if not self._dry_run:
            executable = Path(sys.executable).with_name(words[0])
            status = subprocess.run([executable, *words[1:]], env=self._environment, check=False).returncode
            if status:
                sys.exit(status)


def _runs(results: Path, experiment: Experiment, plans: str, trainers: list[str], repeats: Iterable[int]) -> list[Run]:
    where = (plans, experiment.configuration, "0")
    return [Run(results, experiment.dataset, trainer, *where, repeat) for trainer in trainers for repeat in repeats]


def smaller(plans: dict, configuration: str, patch: tuple[int, ...], *, narrow: bool) -> dict:
    """The same plans with another patch for one configuration, and fewer features; they use the same preprocessed data."""
    plans = {**deepcopy(plans), "plans_name": SMALL_PLANS if narrow else SMALL_PATCH_PLANS}
    settings = plans["configurations"][configuration]
    settings["patch_size"] = list(patch)
    if narrow:
        arguments, (first, widest) = settings["architecture"]["arch_kwargs"], WIDTHS
        arguments["features_per_stage"] = [min(first * 2**stage, widest) for stage in range(arguments["n_stages"])]
    return plans


def with_block(text: str, name: str, block: str) -> str:
    """The document with the experiment's block in place of an earlier one, or at its end; what stands around blocks stays."""
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    if start in text:
        before, rest = text.split(start)
        return before + start + block + end + rest.split(end)[1]
    return f"{text.rstrip()}\n\n{start}{block}{end}"


@click.command(epilog="Example: nnUNet_raw=/data scripts/results.sh light_hippocampus")
@click.argument("names", nargs=-1, type=click.Choice(list(EXPERIMENTS)))
@click.option(
    "--folder", type=click.Path(path_type=Path), default=ROOT / ".results", show_default=True, help="For all that is made."
)
@click.option("--dry-run", is_flag=True, help="Print the commands and run nothing.")
def main(names: tuple[str, ...], folder: Path, dry_run: bool) -> None:
    """Run experiments, all if none is named, and write their tables into docs/results.md."""
    runner = Runner(folder.resolve(), dry_run)
    for name in names or EXPERIMENTS:
        runner.run(name, EXPERIMENTS[name])


if __name__ == "__main__":
    main()

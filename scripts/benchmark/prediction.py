"""Prediction on a CPU, end to end: nnUNetv2_predict beside exported models in onnxruntime and OpenVINO."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from nnunetv2_ext.export.folder import export_folder
from nnunetv2_ext.export.trained_model import TrainedModel
from nnunetv2_ext.planning.stock import stock_architecture
from nnunetv2_ext.runtime.network import ENGINES
from nnunetv2_ext.runtime.predictor import Predictor
from scripts.benchmark.networks import HIPPOCAMPUS, WIDE
from scripts.benchmark.record import Record
from scripts.benchmark.steps import inference, recorded_failure, seconds_of
from tests.export.models import Model, variables, write_image, write_model

SECTION = "prediction"
TRAINERS = {"PlainConvUNet": "nnUNetTrainer", "EGE": "nnUNetTrainerEGE", "EGEUNet": "nnUNetTrainerEGEUNet"}
STOCK = "nnUNetv2_predict"
IMAGE = (35, 50, 36)
"""median of the Hippocampus dataset: one tile, mirrored eight times"""


def prediction(record: Record, *, tiny: bool, rounds: int) -> None:
    """Seconds of the first case, with all that is imported for it, of each further one, and of the network in it.

    Weights are random, and images noise: neither changes what is computed. Each command runs as a user runs it, on as many
    cores as the row says; the shortest time of all rounds counts.
    """
    cases = 2 if tiny else 5
    with TemporaryDirectory() as temporary:
        root = Path(temporary)
        os.environ.update(variables(root))
        for number in range(cases + 1):
            write_image(root / "images", f"case_{number:02d}", (16, 16, 16) if tiny else IMAGE, (1.0, 1.0, 1.0))
        write_image(root / "one", "case_00", (16, 16, 16) if tiny else IMAGE, (1.0, 1.0, 1.0))
        names = ["PlainConvUNet", "EGEUNet"] if tiny else list(TRAINERS)
        trained = {name: write_model(_model(TRAINERS[name], tiny=tiny), root) for name in names}
        for name, model in trained.items():
            export_folder(model, root / name)
        cores = sorted({1, os.cpu_count() or 1})
        rows = [{"network": name, "by": by, "cores": n} for n, name, by in product(cores, trained, (STOCK, *ENGINES))]
        shortest: dict[tuple[Any, ...], tuple[float, ...]] = {}
        for _, row in product(range(rounds), rows):
            if record.time_is_up:
                return
            with recorded_failure(record, SECTION, **row):
                command = _command(row, trained[row["network"]], root)
                first = _seconds(command, root / "one", root, row["cores"])
                all_of_them = _seconds(command, root / "images", root, row["cores"])
                alone = _network_seconds(row, trained[row["network"]], root)
                key, measured = tuple(row.values()), (first, all_of_them, alone)
                shortest[key] = tuple(map(min, measured, shortest.get(key, measured)))
                first, all_of_them, alone = shortest[key]
                record.write(SECTION, "first_case", first, **row)
                record.write(SECTION, "further_case", (all_of_them - first) / cases, **row)
                record.write(SECTION, "network_alone", alone, **row)


def _model(trainer: str, *, tiny: bool) -> Model:
    if tiny:
        return Model(trainer=trainer, mirror_axes=(0, 1, 2))
    strides = [[1, 1, 1]] + [[2, 2, 2]] * 3
    architecture = stock_architecture(WIDE[:4], strides=strides, kernel_sizes=[[3, 3, 3]] * 4)
    configuration = {"patch_size": list(HIPPOCAMPUS), "architecture": architecture}
    return Model(trainer=trainer, mirror_axes=(0, 1, 2), configuration=configuration)


def _command(row: Mapping[str, Any], model: TrainedModel, root: Path) -> list[str]:
    """The command without its input and output."""
    scripts = Path(sys.executable).parent
    if row["by"] == STOCK:
        options = ["-d", "9", "-c", model.configuration_name, "-tr", model.trainer, "-f", "0", "-device", "cpu"]
        return [str(scripts / STOCK), *options, "--disable_progress_bar"]
    return [str(scripts / "nnUNetv2_ext"), "predict-onnx", "-m", str(root / row["network"]), "--engine", row["by"]]


def _seconds(command: list[str], images: Path, root: Path, cores: int) -> float:
    with TemporaryDirectory(dir=root) as output:
        arguments = [*command, "-i", str(images), "-o", output]
        return seconds_of(lambda: subprocess.run(arguments, check=True, capture_output=True, preexec_fn=_on(cores)))


def _on(cores: int) -> Callable[[], None]:
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    return lambda: os.sched_setaffinity(0, allowed)


def _network_seconds(row: Mapping[str, Any], model: TrainedModel, root: Path) -> float:
    """Of the eight passes of one case, the fastest of some."""
    shape = (1, model.input_channels, *model.configuration.patch_size)
    if row["by"] == STOCK:
        torch.set_num_threads(row["cores"])
        run = inference(model.network("0"), torch.randn(shape))
    else:
        (network,) = Predictor(root / row["network"], engine=row["by"], threads=row["cores"]).networks
        batch = np.random.default_rng(0).normal(size=shape).astype(np.float32)

        def run() -> None:
            network(batch)

    run()
    return 8 * min(seconds_of(run) for _ in range(10))

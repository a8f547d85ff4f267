"""What came out: Dice as a table, and a figure of image, truth and predictions side by side."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from nnunetv2_ext.demo.anatomy import LABELS
from nnunetv2_ext.demo.nifti import read

COLOURS = {"grey matter": "#ff8c1a", "white matter": "#3da5ff"}
Scores = Mapping[str, float]


def dice_per_class(summary: Path) -> dict[str, float]:
    """Mean Dice of each class over all cases, out of the file that nnU-Net's evaluation writes."""
    means = json.loads(summary.read_text())["mean"]
    return {name: means[str(label)]["Dice"] for name, label in LABELS.items() if label}


def dice_per_case(summary: Path) -> dict[str, float]:
    """Dice of each case, by its file's name, mean over the classes."""
    cases = json.loads(summary.read_text())["metric_per_case"]
    return {
        Path(case["prediction_file"]).name: float(np.mean([metric["Dice"] for metric in case["metrics"].values()]))
        for case in cases
    }


def table(methods: Mapping[str, Scores], cases: int) -> Table:
    """One row per method, one column per class."""
    result = Table(title=f"Dice on {cases} test crops (1 is perfect)")
    classes = list(next(iter(methods.values())))
    result.add_column("")
    for name in (*classes, "mean"):
        result.add_column(name, justify="right")
    for method, scores in methods.items():
        values = [scores[name] for name in classes]
        result.add_row(method, *(f"{value:.3f}" for value in (*values, float(np.mean(values)))))
    return result


def from_worst_to_best(scores: Mapping[str, float], number: int) -> list[str]:
    """So many cases, evenly spread over the order of their Dice, the worst and the best among them."""
    ordered = sorted(scores, key=lambda case: scores[case])
    steps = min(number, len(ordered)) - 1
    return [ordered[round(step * (len(ordered) - 1) / max(steps, 1))] for step in range(steps + 1)]


def figure(images: Path, truth: Path, predictions: Mapping[str, Path], output: Path, rows: int = 4) -> None:
    """Draws the middle slice of some test cases: the image, the truth and each prediction with its Dice.

    Args:
        images: the folder with the test images.
        truth: the folder with their labels.
        predictions: for each method, the folder with its predictions and the evaluation's summary.json.
        output: the PNG to write.
        rows: how many cases, from the worst to the best of the first method.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    scores = {method: dice_per_case(folder / "summary.json") for method, folder in predictions.items()}
    cases = from_worst_to_best(next(iter(scores.values())), rows)
    columns = {"image": None, "truth": truth, **predictions}
    canvas = Figure(figsize=(1.7 * len(columns), 1.8 * len(cases) + 0.6), layout="constrained")
    FigureCanvasAgg(canvas)
    axes = canvas.subplots(len(cases), len(columns), squeeze=False)
    for axis, title in zip(axes[0], columns, strict=True):
        axis.set_title(title, fontsize=8)
    for row, case in zip(axes, cases, strict=True):
        image = middle_slice(images / case.replace(".nii.gz", "_0000.nii.gz"))
        for axis, (title, folder) in zip(row, columns.items(), strict=True):
            axis.imshow(image, cmap="gray", vmin=0, vmax=np.percentile(image, 99.5), interpolation="nearest")
            if folder is not None:
                axis.imshow(overlay(middle_slice(folder / case)), interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            if title in scores:
                axis.set_xlabel(f"Dice {scores[title][case]:.3f}", fontsize=8)
        row[0].set_ylabel(case.removesuffix(".nii.gz"), fontsize=8)
    handles = [Patch(color=colour, label=name) for name, colour in COLOURS.items()]
    canvas.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8)
    canvas.savefig(output, dpi=110)


def middle_slice(file: Path) -> np.ndarray:
    """The coronal slice in the middle of a volume, head up."""
    volume, _ = read(file)
    return volume[:, volume.shape[1] // 2].T[::-1]


def overlay(labels: np.ndarray) -> np.ndarray:
    """The labels as colours to lay over an image; the background is transparent."""
    from matplotlib.colors import to_rgba

    palette: Sequence[tuple[float, ...]] = [
        (0, 0, 0, 0),
        *(to_rgba(COLOURS[name], 0.6) for name, label in LABELS.items() if label),
    ]
    return np.asarray(palette)[labels]

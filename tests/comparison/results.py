"""Results folders as nnU-Net writes them, without any training."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAN = float("nan")
DATASET = "Dataset005_Made"
CONFIGURATION = "3d_fullres"
LABELS = {"background": 0, "organ": 1, "lesion": 2}
PLANS = {
    "configurations": {
        "3d_fullres": {"patch_size": [16, 16, 16], "batch_size": 2, "spacing": [1.0, 1.0, 1.0]},
        "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
    }
}
CASES = {"0": ["case_0.1", "case_0.2", "case_0.3"], "1": ["case_1.1", "case_1.2", "case_1.3"]}
"""by fold; names with a dot, as some datasets have them"""


def write_run(
    results: Path,
    trainer: str,
    fold: str,
    dice: Mapping[str, tuple[float, ...]] | float,
    *,
    repeat: int = 0,
    plans: Mapping[str, Any] = PLANS,
    labels: Mapping[str, Any] = LABELS,
    classes: tuple[str, ...] = ("1", "2"),
    fingerprint: str = "the data",
    card: Mapping[str, Any] | None = None,
    finished: bool = True,
) -> Path:
    """A run's folder; ``dice`` is by case and class, or one number for all of the fold's cases."""
    if not isinstance(dice, Mapping):
        dice = {case: (dice,) * len(classes) for case in CASES[fold]}
    root = results / f"repeat_{repeat}" if repeat else results
    folder = root / DATASET / f"{trainer}__nnUNetPlans__{CONFIGURATION}" / f"fold_{fold}"
    (folder / "validation").mkdir(parents=True)
    dataset = {"labels": labels, "file_ending": ".nii.gz", "channel_names": {"0": "MRI"}}
    for name, content in {
        "plans": plans,
        "dataset": dataset,
        "dataset_fingerprint": {"shapes": fingerprint},
    }.items():
        (folder.parent / f"{name}.json").write_text(json.dumps(content))
    if card is not None:
        (folder / "run_card.json").write_text(json.dumps(card))
    (folder / "checkpoint_final.pth").touch()
    write_log(folder, 3)
    if finished:
        entries = [_entry(case, dict(zip(classes, values, strict=True)), folder) for case, values in dice.items()]
        (folder / "validation" / "summary.json").write_text(json.dumps({"metric_per_case": entries}))
    return folder


def _entry(case: str, dice: Mapping[str, float], folder: Path) -> dict[str, Any]:
    metrics = {name: {"Dice": value, "n_ref": 0 if value != value else 5} for name, value in dice.items()}
    file = folder / "validation" / f"{case}.nii.gz"
    return {"prediction_file": str(file), "reference_file": f"/elsewhere/{case}.nii.gz", "metrics": metrics}


def write_log(folder: Path, epochs: int, *, start: int = 0, name: str = "2026_1_2_03_04_05", offset: float = 0.0) -> None:
    """A training log of nnU-Net 2.8, with numpy 2's way of writing numbers in a list."""
    time = "2026-01-02 03:04:05.678901:"
    lines = ["a line without time", f"{time} Using splits from existing split file: 5 "]
    for epoch in range(start, start + epochs):
        dice = 0.1 * epoch + offset
        lines += [
            f"{time}  ",
            f"{time} Epoch {epoch} ",
            f"{time} Current learning rate: 0.01 ",
            f"{time} train_loss {1.0 - dice:.4f} ",
            f"{time} val_loss {-0.5 - dice} ",
            f"{time} Pseudo dice [np.float32({dice:.4f}), np.float64(nan)] ",
            f"{time} Epoch time: {10.0 + epoch} s ",
            f"{time} Yayy! New best EMA pseudo Dice: 0.9 ",
        ]
    (folder / f"training_log_{name}.txt").write_text("\n".join(lines) + "\n")

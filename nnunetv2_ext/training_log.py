"""nnU-Net's training logs as learning curves. They are plain text, so reading them executes nothing. Imports no torch."""

import re
from dataclasses import dataclass, field
from pathlib import Path

# numpy 2 writes a list of numbers as [np.float32(0.81), ...]
_NUMBER = re.compile(r"(?<![\w.])(?:[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?|nan)(?!\w)")
_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d]*: +(Epoch time:|Epoch|train_loss|val_loss|Pseudo dice) +(.+)")


@dataclass
class Epoch:
    """What nnU-Net logs of an epoch; nan or nothing where the epoch was cut off."""

    train_loss: float = float("nan")
    val_loss: float = float("nan")
    pseudo_dice: list[float] = field(default_factory=list)
    """per class"""
    seconds: float = float("nan")


def read_epochs(folder: Path) -> dict[int, Epoch]:
    """The epochs of a run by their numbers, in order.

    A run that was continued has several logs. It repeats the epochs behind its last checkpoint, so a log replaces what an
    earlier one has from its first epoch on.
    """
    epochs: dict[int, Epoch] = {}
    for log in sorted(folder.glob("training_log_*.txt"), key=_started):
        current = Epoch()
        for line in log.read_text(errors="replace").splitlines():
            match = _LINE.match(line)
            if not match:
                continue
            key, numbers = match[1], [float(number) for number in _NUMBER.findall(match[2])]
            if key == "Pseudo dice":
                current.pseudo_dice = numbers
            elif numbers and key == "Epoch":
                number, current = int(numbers[0]), Epoch()
                epochs = {earlier: epoch for earlier, epoch in epochs.items() if earlier < number} | {number: current}
            elif numbers:
                name = {"Epoch time:": "seconds"}.get(key, key)
                setattr(current, name, numbers[0])
    return dict(sorted(epochs.items()))


def _started(log: Path) -> tuple[int, ...]:
    """Year to second, which the name of a log has without leading zeros."""
    return tuple(int(number) for number in re.findall(r"\d+", log.stem))

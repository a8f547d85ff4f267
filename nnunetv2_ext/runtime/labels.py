"""From logits to labels."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Labels:
    """The labels of a dataset and what the network's outputs stand for, as in nnU-Net's ``dataset.json``.

    Args:
        labels: a number for each class, or a list of numbers for a region; ``ignore`` is none that is predicted.
        regions_class_order: for regions the label that each output writes, later ones over earlier ones.
    """

    def __init__(self, labels: Mapping[str, int | Sequence[int]], regions_class_order: Sequence[int] | None) -> None:
        classes = [[value] if isinstance(value, int) else list(value) for name, value in labels.items() if name != "ignore"]
        numbers = {int(number) for values in classes for number in values}
        has_regions = any(len(values) > 1 for values in classes)
        self.order = regions_class_order if has_regions else None
        self.outputs = sum(set(values) != {0} for values in classes) if has_regions else len(numbers)
        self.dtype: Any = np.uint8 if len(numbers - {0}) < 255 else np.uint16

    def segmentation(self, logits: Iterable[NDArray[np.floating]]) -> NDArray[np.unsignedinteger]:
        """The label of each voxel. Of the classes' logits, only one at a time has to be in memory.

        Args:
            logits: those of one output after the other.
        """
        return self._of_classes(logits) if self.order is None else self._of_regions(logits, self.order)

    def _of_classes(self, logits: Iterable[NDArray[np.floating]]) -> NDArray[np.unsignedinteger]:
        """The class of the highest logit, the first one of several."""
        logits = iter(logits)
        highest = next(logits).copy()
        labels = np.zeros(highest.shape, self.dtype)
        for label, one in enumerate(logits, 1):
            higher = one > highest
            highest[higher] = one[higher]
            labels[higher] = label
        return labels

    def _of_regions(self, logits: Iterable[NDArray[np.floating]], order: Sequence[int]) -> NDArray[np.unsignedinteger]:
        """Region by region, where its probability is above a half."""
        labels: Any = None
        for label, one in zip(order, logits, strict=True):
            labels = np.zeros(one.shape, self.dtype) if labels is None else labels
            with np.errstate(over="ignore"):  # to infinity, whose inverse is the zero that is meant
                probability = 1 / (1 + np.exp(-one.astype(np.float32)))
            labels[probability > 0.5] = label
        return labels

"""What may be wrong in a dataset.json: its channels and labels, as nnU-Net reads them."""

from collections.abc import Iterator
from typing import Any

from nnunetv2_ext.errors import DatasetError


def check_dataset_json(content: Any) -> None:
    """Refuses what nnU-Net can't train on.

    Raises:
        DatasetError: with every problem that was found.
    """
    if problems := list(dataset_json_problems(content)):
        raise DatasetError(f"dataset.json: {'; '.join(problems)}")


def dataset_json_problems(content: Any) -> Iterator[str]:
    """Each problem with its cure."""
    if not isinstance(content, dict):
        yield f"it is a {type(content).__name__}, need a JSON object"
        return
    channels = content.get("channel_names", content.get("modality"))
    if not isinstance(channels, dict) or not channels:
        yield 'no channel_names: add for instance {"0": "CT"}'
    if not isinstance(content.get("file_ending"), str):
        yield 'no file_ending: add for instance ".nii.gz"'
    labels = content.get("labels")
    if isinstance(labels, dict) and labels:
        yield from _label_problems(labels, content.get("regions_class_order"))
    else:
        yield 'no labels: add for instance {"background": 0, "liver": 1}'


def labels_in(content: dict[str, Any]) -> set[int]:
    """The values that a label image may have, the ignore label included."""
    return {value for label in content["labels"].values() for value in _values(label)}


def label_numbers(labels: dict[str, Any]) -> dict[str, int | list[int]]:
    """The same labels as whole numbers, regions as lists of them."""
    return {name: _values(label) if isinstance(label, (list, tuple)) else _values(label)[0] for name, label in labels.items()}


def _values(label: Any) -> list[int]:
    """The numbers of a label or region. nnU-Net takes "1" and 1.0 for 1, too."""
    return [int(value) for value in (label if isinstance(label, (list, tuple)) else [label])]


def _label_problems(labels: dict[str, Any], order: Any) -> Iterator[str]:
    values: dict[str, list[int]] = {}
    for name, label in labels.items():
        try:
            values[name] = _values(label)
        except (TypeError, ValueError):
            yield f"label {name} is {label!r}: need a whole number, or a list of them for a region"
            return
        if not values[name]:
            yield f"region {name} names no class: list the labels that it consists of, or remove it"
            return
    if values.get("background") != [0]:
        yield 'no label "background" with the value 0: add it'
    classes = {value for name in values if name != "ignore" for value in values[name]}
    highest = max(classes, default=-1)
    if sorted(classes) != list(range(len(classes))):  # not up to the highest, which may be in the millions
        found = ", ".join(map(str, sorted(classes)))
        yield f"the labels are {found}: number them 0, 1, 2, ... without a gap, in the images, too"
    if "ignore" in labels and labels["ignore"] != highest + 1:
        yield f"the ignore label is {labels['ignore']!r}: need the highest label plus one, {highest + 1}"
    if any(len(numbers) > 1 for numbers in values.values()):
        yield from _region_problems([name for name in values if name != "ignore" and set(values[name]) != {0}], order)


def _region_problems(regions: list[str], order: Any) -> Iterator[str]:
    if not isinstance(order, (list, tuple)) or len(order) != len(regions):
        yield (
            f"regions_class_order is {order!r}: need {len(regions)} labels, one for each of {', '.join(regions)}, which are "
            "written over each other in this order"
        )

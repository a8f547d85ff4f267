"""What may be wrong in a dataset_fingerprint.json, which nnU-Net plans from."""

from typing import Any

from nnunetv2_ext.errors import DatasetError

NEEDED = (
    "spacings",
    "shapes_after_crop",
    "foreground_intensity_properties_per_channel",
    "median_relative_size_after_cropping",
)


def check_fingerprint(content: dict[str, Any]) -> None:
    """Refuses a fingerprint that nnU-Net can't plan from.

    Raises:
        DatasetError: if a part of it is missing, or spacings and shapes are not of the same images.
    """
    problems = [f"no {name}" for name in NEEDED if name not in content]
    if not problems:
        spacings, shapes = content["spacings"], content["shapes_after_crop"]
        if not isinstance(spacings, list) or not isinstance(shapes, list) or not shapes or len(spacings) != len(shapes):
            problems = ["spacings and shapes_after_crop should be lists with one entry for each image"]
    if problems:
        raise DatasetError(
            f"dataset_fingerprint.json: {', '.join(problems)}. Extract it again: nnUNetv2_extract_fingerprint -d ID --clean"
        )

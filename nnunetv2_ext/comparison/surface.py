"""Distances between the surfaces of truth and prediction, in mm, as MONAI computes them."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunetv2_ext.comparison.reading import PREDICT_AGAIN, FinishedRun, read_image
from nnunetv2_ext.comparison.scores import Metric
from nnunetv2_ext.errors import ComparisonError

COPY_AGAIN = "nnUNetv2_preprocess copies the ground truth from nnUNet_raw again; remove a damaged file before."


def surface_metrics(truth: Path, dataset: dict[str, Any], *, hd95: bool, tolerance: float | None) -> list[Metric]:
    """The surface metrics that are asked for.

    - HD95 is the larger of the two 95th percentiles of the distances from one surface to the other. It is undefined (nan)
      where truth or prediction lacks the class.
    - NSD, the normalised surface Dice (Nikolov et al., arXiv 1809.04430), is the share of both surfaces that lies within the
      tolerance of the other one. It is 0 where one of the two lacks the class and undefined where both do.

    Args:
        truth: the folder of ground truth segmentations that nnU-Net keeps beside the preprocessed data
        dataset: dataset.json
        hd95: whether HD95 is wanted
        tolerance: of NSD, in mm; None if it isn't wanted

    Raises:
        ComparisonError: if MONAI isn't installed, or the ground truth isn't there. The metrics raise it for a file that is
            missing or damaged.
    """
    if not hd95 and tolerance is None:
        return []
    try:
        import monai.metrics  # noqa: F401
    except ModuleNotFoundError as error:
        raise ComparisonError("surface distances need MONAI: pip install 'nnunetv2-ext[monai]'") from error
    if not truth.is_dir():
        raise ComparisonError(f"surface distances need the ground truth, and {truth} doesn't exist.")
    if missing := [name for name in ("file_ending", "labels") if name not in dataset]:
        raise ComparisonError(
            f"surface distances need {' and '.join(missing)} of dataset.json, which nnU-Net writes beside the model."
        )
    masks = _Masks(truth, dataset)
    metrics = []
    if hd95:
        metrics.append(Metric("hd95", "HD95, mm", 2, False, _reader(masks, _hd95)))
    if tolerance is not None:
        metrics.append(Metric("nsd", f"NSD at {tolerance:g} mm", 3, True, _reader(masks, partial(_nsd, tolerance=tolerance))))
    return metrics


Mask = npt.NDArray[np.bool_]


def _reader(
    masks: "_Masks", measure: Callable[[Mask, Mask, Sequence[float]], float]
) -> Callable[[FinishedRun, str, str], float]:
    return lambda run, case, label: measure(*masks(run, case, label))


class _Masks:
    """Truth and prediction of a case and class as boolean arrays (1 or more, *spatial), and the spacing in mm."""

    def __init__(self, truth: Path, dataset: dict[str, Any]) -> None:
        from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json

        self._truth, self._ending = truth, dataset["file_ending"]
        self._ignore = dataset["labels"].get("ignore")
        example = min(truth.glob(f"*{self._ending}"), default=truth / f"*{self._ending}")
        find = partial(determine_reader_writer_from_dataset_json, dataset, verbose=False)
        reader = read_image(find, example, COPY_AGAIN)()
        # Cases are read one after another, with all of their classes.
        self._read = lru_cache(maxsize=2)(partial(read_image, reader.read_seg))

    def __call__(self, run: FinishedRun, case: str, label: str) -> tuple[Mask, Mask, Sequence[float]]:
        truth, properties = self._read(self._truth / f"{case}{self._ending}", COPY_AGAIN)
        prediction, _ = self._read(run.prediction(case), PREDICT_AGAIN)
        values = [int(number) for number in label.strip("()").split(",") if number]
        use = truth[0] != self._ignore if self._ignore is not None else np.ones(truth.shape[1:], bool)
        spacing = properties["spacing"]
        if truth.shape[1] == 1 and _is_flat(spacing):
            truth, prediction, use, spacing = truth[:, 0], prediction[:, 0], use[0], spacing[1:]
        return np.isin(truth[0], values) & use, np.isin(prediction[0], values) & use, spacing


def _is_flat(spacing: Sequence[float]) -> bool:
    """Whether it is of an image of two dimensions, whose first spacing nnU-Net's readers make up: 999, or 999 pixels."""
    return any(math.isclose(spacing[0], made_up) for made_up in (999, 999 * max(spacing[1:])))


def _hd95(truth: Mask, prediction: Mask, spacing: Sequence[float]) -> float:
    if not (truth.any() and prediction.any()):
        return float("nan")
    from monai.metrics import compute_hausdorff_distance

    truth, prediction = _cropped(truth, prediction)
    pair = _batch(prediction), _batch(truth)
    return float(compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=list(spacing)))


def _nsd(truth: Mask, prediction: Mask, spacing: Sequence[float], *, tolerance: float) -> float:
    if not (truth.any() or prediction.any()):
        return float("nan")
    if not (truth.any() and prediction.any()):
        return 0.0
    from monai.metrics import compute_surface_dice

    truth, prediction = _cropped(truth, prediction)
    pair = _batch(prediction), _batch(truth)
    # Surface elements are weighted by their area, as in the implementation of the metric's authors.
    score = compute_surface_dice(
        *pair, class_thresholds=[tolerance], include_background=True, spacing=list(spacing), use_subvoxels=True
    )
    return float(score)


def _cropped(truth: Mask, prediction: Mask) -> tuple[Mask, Mask]:
    """Both around their voxels, with a margin, since the cost grows with the volume."""
    where = np.argwhere(truth | prediction)
    box = tuple(slice(max(0, low - 2), high + 3) for low, high in zip(where.min(0), where.max(0), strict=True))
    return truth[box], prediction[box]


def _batch(mask: Mask) -> Any:
    import torch

    return torch.from_numpy(np.pad(mask, 2))[None, None]

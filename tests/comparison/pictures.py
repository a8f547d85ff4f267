"""Images, truth and predictions for made results: a ball that one trainer finds better than the other."""

from pathlib import Path

import numpy as np
import SimpleITK

from nnunetv2_ext.comparison.compare import Comparison, compare
from nnunetv2_ext.comparison.reading import Model, read_models
from nnunetv2_ext.comparison.scores import DICE
from tests.comparison.results import CASES, CONFIGURATION, DATASET, LABELS, write_run

RADII = {"nnUNetTrainer": 3.0, "nnUNetTrainerEGE": 4.5}
TRUTH = 5.0


def ball(radius: float) -> np.ndarray:
    """Organ with a lesion in its middle, of 20 voxels a side."""
    distance = np.linalg.norm(np.indices((20, 20, 20)).T - 9.5, axis=-1)
    return ((distance < radius).astype(np.uint8) + (distance < radius / 2)).astype(np.uint8)


def write_results(raw: Path, results: Path) -> None:
    """Raw images and labels, and two trainers with predictions."""
    for folder in ("imagesTr", "labelsTr"):
        (raw / DATASET / folder).mkdir(parents=True)
    dataset = {"channel_names": {"0": "MRI"}, "labels": LABELS, "numTraining": 6, "file_ending": ".nii.gz"}
    (raw / DATASET / "dataset.json").write_text(str(dataset).replace("'", '"'))
    for trainer, radius in RADII.items():
        for fold, cases in CASES.items():
            scores = {case: (radius / TRUTH, radius / TRUTH - 0.01 * number) for number, case in enumerate(cases)}
            card = {"command": f"nnUNetv2_train 5 3d_fullres {fold} -tr {trainer}", "versions": {"torch": "2.4.0"}}
            folder = write_run(results, trainer, fold, scores, card=card)
            for case in cases:
                _write(folder / "validation" / f"{case}.nii.gz", ball(radius))
    for case in (case for cases in CASES.values() for case in cases):
        _write(raw / DATASET / "imagesTr" / f"{case}_0000.nii.gz", 100.0 * ball(TRUTH))
        _write(raw / DATASET / "labelsTr" / f"{case}.nii.gz", ball(TRUTH))


def compared(results: Path) -> tuple[Comparison, list[Model]]:
    models = read_models([results], DATASET, CONFIGURATION)
    return compare(models, [DICE], reference="nnUNetTrainer"), models


def _write(file: Path, array: np.ndarray) -> None:
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing((1.0, 1.0, 2.0))
    SimpleITK.WriteImage(image, str(file))

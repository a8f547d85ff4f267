"""The crops as a dataset in nnU-Net's raw format."""

import json
from pathlib import Path

import numpy as np
from nibabel.affines import from_matvec

from nnunetv2_ext.demo.anatomy import LABELS, Crop, Template, held_out_crops, training_crops
from nnunetv2_ext.demo.nifti import write
from nnunetv2_ext.demo.scanner import scan

IDENTIFIER = 952
NAME = f"Dataset{IDENTIFIER}_MNI152Crops"
FILE_ENDING = ".nii.gz"


def write_dataset(raw: Path, template: Template) -> Path:
    """Writes the dataset into the folder that ``nnUNet_raw`` names; the same numbers at every call.

    The test cases' labels go to ``labelsTs``, which nnU-Net doesn't read: they are for the evaluation.
    """
    folder = raw / NAME
    sets = {"Tr": training_crops(template), "Ts": held_out_crops(template)}
    for kind, crops in sets.items():
        for number, crop in enumerate(crops):
            _write_case(folder, kind, number, crop, template)
    description = {
        "channel_names": {"0": "T1"},
        "labels": LABELS,
        "numTraining": len(sets["Tr"]),
        "file_ending": FILE_ENDING,
        "description": "Crops of one hemisphere of the MNI152 template, with simulated differences between scanners",
        "reference": "ICBM 2009a nonlinear symmetric, Fonov et al. 2011, as nilearn ships it",
    }
    (folder / "dataset.json").write_text(json.dumps(description, indent=2) + "\n")
    return folder


def _write_case(folder: Path, kind: str, number: int, crop: Crop, template: Template) -> None:
    name = f"{'train' if kind == 'Tr' else 'test'}_{number:02d}"
    image = scan(crop.image, np.random.default_rng([number, *kind.encode()]))
    affine = template.affine @ from_matvec(np.eye(3), crop.corner)
    write(folder / f"images{kind}" / f"{name}_0000{FILE_ENDING}", image, affine)
    write(folder / f"labels{kind}" / f"{name}{FILE_ENDING}", crop.labels, affine)

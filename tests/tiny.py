"""A dataset that nnU-Net trains in seconds: six cases of 16 voxels a side, preprocessed by nnU-Net's own preprocessor."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import SimpleITK

from nnunetv2_ext.planning.stock import stock_architecture

NAME = "Dataset008_Blobs"
CASES = [f"blob_{number}" for number in range(6)]
LABELS = {"background": 0, "ball": 1, "core": 2}
SPLITS = [{"train": CASES[:3], "val": CASES[3:]}, {"train": CASES[3:], "val": CASES[:3]}]


def make_tiny_dataset(raw: Path, preprocessed: Path, *, preprocess: bool = True) -> str:
    """Writes raw images and labels, plans, splits and ground truth, and if asked for the preprocessed data; gives the name."""
    for folder in (raw / NAME / "imagesTr", raw / NAME / "labelsTr", preprocessed / NAME / "gt_segmentations"):
        folder.mkdir(parents=True)
    for number, case in enumerate(CASES):
        image, labels = _blob(number)
        _write(raw / NAME / "imagesTr" / f"{case}_0000.nii.gz", image)
        _write(raw / NAME / "labelsTr" / f"{case}.nii.gz", labels)
        _write(preprocessed / NAME / "gt_segmentations" / f"{case}.nii.gz", labels)
    dataset = {"channel_names": {"0": "MRI"}, "labels": LABELS, "numTraining": len(CASES), "file_ending": ".nii.gz"}
    for name, content in {
        "dataset.json": dataset,
        "nnUNetPlans.json": _plans(),
        "splits_final.json": SPLITS,
        "dataset_fingerprint.json": {"spacings": [[1.0, 1.0, 1.0]] * len(CASES)},
    }.items():
        (preprocessed / NAME / name).write_text(json.dumps(content))
    (raw / NAME / "dataset.json").write_text(json.dumps(dataset))
    if preprocess:
        _preprocess(raw / NAME, preprocessed / NAME, dataset)
    return NAME


def _blob(number: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(number)
    distance = np.linalg.norm(np.indices((16, 16, 16)).T - random.uniform(6, 10, 3), axis=-1).T
    labels = (distance < 5).astype(np.uint8) + (distance < 2.5)
    return (labels + random.normal(0, 0.3, labels.shape)).astype(np.float32), labels.astype(np.uint8)


def _write(file: Path, array: np.ndarray) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), str(file))


def _plans() -> dict:
    resampling = {f"resampling_fn_{kind}": "resample_data_or_seg_to_shape" for kind in ("data", "seg", "probabilities")} | {
        f"resampling_fn_{kind}_kwargs": {"is_seg": kind == "seg", "order": 1, "order_z": 0, "force_separate_z": None}
        for kind in ("data", "seg", "probabilities")
    }
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [16, 16, 16],
        "median_image_size_in_voxels": [16.0, 16.0, 16.0],
        "spacing": [1.0, 1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "batch_dice": False,
        "architecture": stock_architecture([4, 8, 8], strides=[[1] * 3, [2] * 3, [2] * 3], kernel_sizes=[[3] * 3] * 3),
        **resampling,
    }
    return {
        "dataset_name": NAME,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [1.0, 1.0, 1.0],
        "original_median_shape_after_transp": [16, 16, 16],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {}},
        "configurations": {"3d_fullres": configuration},
    }


def _preprocess(raw: Path, preprocessed: Path, dataset: dict) -> None:
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans = PlansManager(_plans())
    configuration = plans.get_configuration("3d_fullres")
    folder = preprocessed / configuration.data_identifier
    folder.mkdir()
    with contextlib.redirect_stdout(io.StringIO()):
        for case in CASES:
            image, labels = raw / "imagesTr" / f"{case}_0000.nii.gz", raw / "labelsTr" / f"{case}.nii.gz"
            DefaultPreprocessor(verbose=False).run_case_save(
                str(folder / case), [str(image)], str(labels), plans, configuration, dataset
            )

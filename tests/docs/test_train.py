"""What docs/train.md shows is run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK

from nnunetv2_ext.paths import HOST_FOLDERS, trainer_folders
from tests.plans import CONFIGURATIONS

ROOT = Path(__file__).parents[2]
DATASET = "Dataset004_Hippocampus"
MODEL = "nnUNetTrainerEGEUNet_2epochs_3iters__nnUNetPlans__2d"
FUNCTION, ARGUMENTS = "resample_data_or_seg_to_shape", {"order": 1, "order_z": 0, "force_separate_z": None}


def example(heading: str) -> str:
    """The program below a heading."""
    section = (ROOT / "docs" / "train.md").read_text().split(f"\n## {heading}\n")[1]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


@pytest.fixture
def preprocessed(tmp_path, monkeypatch):
    """A synthetic dataset, planned for a tiny 2D network and preprocessed in this process, which starts no workers."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from integration.hippocampus import write_synthetic_source
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    for name in HOST_FOLDERS:
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("nnUNet_extTrainer", raising=False)
    write_synthetic_source(tmp_path / "nnUNet_raw", cases=3)
    raw, folder = (tmp_path / name / DATASET for name in ("nnUNet_raw", "nnUNet_preprocessed"))
    resampling = {
        f"resampling_fn_{what}{kind}": value
        for what in ("data", "seg", "probabilities")
        for kind, value in (("", FUNCTION), ("_kwargs", {"is_seg": what == "seg", **ARGUMENTS}))
    }
    plans = {
        "dataset_name": DATASET,
        "plans_name": "nnUNetPlans",
        "label_manager": "LabelManager",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "foreground_intensity_properties_per_channel": {"0": {}},
        "configurations": {"2d": {**CONFIGURATIONS["2d"], **resampling}},
    }
    description = json.loads((raw / "dataset.json").read_text())
    manager = PlansManager(plans)
    cases = folder / CONFIGURATIONS["2d"]["data_identifier"]
    cases.mkdir(parents=True)
    (folder / "gt_segmentations").symlink_to(raw / "labelsTr")
    names = sorted(file.name.removesuffix(".nii.gz") for file in (raw / "labelsTr").iterdir())
    for name in names:
        DefaultPreprocessor(verbose=False).run_case_save(
            str(cases / name),
            [str(raw / "imagesTr" / f"{name}_0000.nii.gz")],
            str(raw / "labelsTr" / f"{name}.nii.gz"),
            manager,
            manager.get_configuration("2d"),
            description,
        )
    splits = [{"train": names[:2], "val": names[2:]}]
    contents = {"nnUNetPlans": plans, "dataset": description, "dataset_fingerprint": {}, "splits_final": splits}
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return raw


def predictions(folder: Path, raw: Path) -> list[Path]:
    """One for each test image, of its size."""
    images = sorted((raw / "imagesTs").iterdir())
    found = [folder / image.name.replace("_0000", "") for image in images]
    for image, prediction in zip(images, found, strict=True):
        assert SimpleITK.ReadImage(str(prediction)).GetSize() == SimpleITK.ReadImage(str(image)).GetSize()
    return found


@pytest.mark.slow
def test_the_program_trains_and_predicts_with_two_models(preprocessed, tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text(example("In a program"))
    one_worker = {"nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "0"}
    ended = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE", **one_worker},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert predictions(tmp_path / "predicted", preprocessed)
    assert re.search(r"^\(\d+, \d+, \d+\) [012]$", ended.stdout, re.MULTILINE)
    predict_from_the_models_folder(preprocessed, tmp_path / "nnUNet_results" / DATASET / MODEL, monkeypatch)


def predict_from_the_models_folder(raw, model, monkeypatch):
    """As nnUNetv2_predict_from_modelfolder does, with nnUNet_extTrainer set long after the import and no nnUNet_results."""
    import torch
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    monkeypatch.delenv("nnUNet_results")
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    with pytest.raises(RuntimeError, match="Could not find requested nnunet trainer nnUNetTrainerEGEUNet"):
        predictor.initialize_from_trained_model_folder(str(model), use_folds=(0,))
    monkeypatch.setenv("nnUNet_extTrainer", trainer_folders())
    predictor.initialize_from_trained_model_folder(str(model), use_folds=(0,))
    image, properties = SimpleITKIO().read_images([str(sorted((raw / "imagesTs").iterdir())[0])])
    assert predictor.predict_single_npy_array(image, properties).shape == image.shape[1:]

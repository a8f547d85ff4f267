"""What the trained network is compared with."""

import json

import numpy as np
import pytest
import torch

from nnunetv2_ext.demo.baselines import threshold, write_thresholds, write_untrained_checkpoint
from nnunetv2_ext.demo.nifti import read, write
from nnunetv2_ext.trainers.resolve import trainer_class

TRAINER = "nnUNetTrainerEGE_1epochs_1iters"
PLANS = {
    "dataset_name": "Dataset952_Tiny",
    "plans_name": "nnUNetPlans",
    "label_manager": "LabelManager",
    "image_reader_writer": "SimpleITKIO",
    "transpose_forward": [0, 1, 2],
    "transpose_backward": [0, 1, 2],
    "configurations": {
        "3d_fullres": {
            "patch_size": [8, 8, 8],
            "normalization_schemes": ["ZScoreNormalization"],
            "architecture": {
                "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
                "arch_kwargs": {
                    "n_stages": 3,
                    "features_per_stage": [8, 8, 8],
                    "conv_op": "torch.nn.modules.conv.Conv3d",
                    "kernel_sizes": [[3, 3, 3]] * 3,
                    "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
                    "n_conv_per_stage": [1, 1, 1],
                    "n_conv_per_stage_decoder": [1, 1],
                    "conv_bias": True,
                    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                    "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                    "dropout_op": None,
                    "dropout_op_kwargs": None,
                    "nonlin": "torch.nn.LeakyReLU",
                    "nonlin_kwargs": {"inplace": True},
                },
                "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
            },
        }
    },
}
DATASET = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "one": 1, "two": 2}, "file_ending": ".nii.gz"}


@pytest.fixture
def fold(tmp_path):
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    (tmp_path / "plans.json").write_text(json.dumps(PLANS))
    (tmp_path / "dataset.json").write_text(json.dumps(DATASET))
    folder = tmp_path / "fold_0"
    folder.mkdir()
    plans = PlansManager(PLANS)
    network = trainer_class(TRAINER).build_network_architecture(plans, plans.get_configuration("3d_fullres"), 1, 3, True)
    checkpoint = {
        "network_weights": network.state_dict(),
        "trainer_name": TRAINER,
        "init_args": {"configuration": "3d_fullres"},
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }
    torch.save(checkpoint, folder / "checkpoint_final.pth")
    return folder


def test_untrained_checkpoint_is_the_trained_one_with_other_weights(fold) -> None:
    path = write_untrained_checkpoint(fold)
    trained, untrained = (torch.load(file, weights_only=False) for file in (fold / "checkpoint_final.pth", path))
    weights, fresh = trained.pop("network_weights"), untrained.pop("network_weights")
    assert trained == untrained
    assert {name: value.shape for name, value in weights.items()} == {name: value.shape for name, value in fresh.items()}
    kernels = [name for name in weights if name.endswith("conv.weight")]
    assert kernels
    assert not any(torch.equal(weights[name], fresh[name]) for name in kernels)


def test_host_predicts_with_the_untrained_checkpoint(fold, monkeypatch) -> None:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    from nnunetv2_ext.paths import SHIM

    monkeypatch.setenv("nnUNet_extTrainer", str(SHIM))
    path = write_untrained_checkpoint(fold)
    predictor = nnUNetPredictor(device=torch.device("cpu"), use_mirroring=False, perform_everything_on_device=False)
    predictor.initialize_from_trained_model_folder(str(fold.parent), (0,), path.name)
    logits = predictor.predict_logits_from_preprocessed_data(torch.randn(1, 8, 8, 8))
    assert logits.shape == (3, 8, 8, 8)
    assert torch.isfinite(logits).all()


def test_threshold_finds_three_levels_whatever_their_scale() -> None:
    labels = np.arange(1000).reshape(10, 10, 10) % 3
    noise = np.random.default_rng(0).normal(scale=0.1, size=labels.shape)
    for gain in (1, 1000):
        image = (gain * (labels + noise)).astype(np.float32)
        found = threshold(image, 3)
        assert found.dtype == np.uint8
        assert np.mean(found == labels) > 0.99


def test_write_thresholds(tmp_path) -> None:
    image = (np.arange(64).reshape(4, 4, 4) % 3).astype(np.float32)
    write(tmp_path / "images" / "case_0000.nii.gz", image, np.diag([2.0, 2, 2, 1]))
    write_thresholds(tmp_path / "images", tmp_path / "labels", 3)
    labels, affine = read(tmp_path / "labels" / "case.nii.gz")
    assert np.array_equal(labels, image)
    assert affine[0, 0] == 2

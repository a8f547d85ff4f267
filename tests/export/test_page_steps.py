"""The page's steps, in node, give every voxel the label that the runtime gives it, whatever the model's description says.

The networks are a line of arithmetic, the same in both, so that every difference is of the steps.
"""

import json
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from nnunetv2_ext.export import web
from nnunetv2_ext.runtime import predictor as module
from nnunetv2_ext.runtime.description import Channel, Fold, ModelDescription, Resampling
from nnunetv2_ext.runtime.labels import Labels
from nnunetv2_ext.runtime.predictor import Predictor
from nnunetv2_ext.runtime.resampling import resample
from tests.runtime.test_resampling import SIZES

CHANNEL = Channel("MRI", "ZScoreNormalization", False, {})
CT = Channel("CT", "CTNormalization", False, {"mean": 0.2, "std": 0.7, "percentile_00_5": -1.0, "percentile_99_5": 1.5})
SPLINES = Resampling("resample_data_or_seg_to_shape", 3, 0, None, 3.0)
LOGITS = replace(SPLINES, order=1)
TORCH = Resampling("resample_torch_fornnunet", 3, 0, None, 3.0)
NONE = Resampling("no_resampling_hack", 3, 0, None, 3.0)
PLAIN = ModelDescription(
    dataset="Dataset009_Noise",
    trainer="nnUNetTrainer",
    plans="nnUNetPlans",
    configuration="3d_fullres",
    checkpoint="checkpoint_final.pth",
    reader="SimpleITKIO",
    file_ending=".nii.gz",
    channels=(CHANNEL,),
    transpose_forward=(0, 1, 2),
    transpose_backward=(0, 1, 2),
    spacing=(1.0, 1.0, 1.0),
    patch_size=(6, 8, 10),
    data_resampling=SPLINES,
    logits_resampling=LOGITS,
    mirror_axes=(0, 1, 2),
    labels={"background": 0, "organ": 1, "lesion": 2},
    regions_class_order=None,
    opset=18,
    folds=(Fold("0", "fold_0.onnx", "", True, 0.0),),
    versions={},
)
ISOTROPIC = {"shape": (13, 12, 19), "spacing": (1.0, 1.0, 1.0)}
THICK = {"shape": (7, 24, 12), "spacing": (4.0, 0.8, 0.8)}
CASES = {
    "plain": (PLAIN, ISOTROPIC),
    "resampled": (replace(PLAIN, spacing=(1.3, 0.8, 0.9)), ISOTROPIC),
    "smaller than a tile": (PLAIN, {"shape": (7, 9, 12), "spacing": (1.0, 1.0, 1.0)}),
    "thick slices": (replace(PLAIN, spacing=(4.0, 1.0, 1.0)), THICK),
    "thick slices, other distance": (replace(PLAIN, spacing=(3.1, 1.0, 1.0)), THICK),
    "thick slices, linear along them": (
        replace(PLAIN, spacing=(3.1, 1.0, 1.0), data_resampling=replace(SPLINES, order_z=1, force_separate_z=True)),
        THICK,
    ),
    "thick slices, cubic along them": (
        replace(PLAIN, spacing=(3.1, 1.0, 1.0), data_resampling=replace(SPLINES, order=1, order_z=3)),
        THICK,
    ),
    "nearest": (replace(PLAIN, spacing=(1.3, 0.8, 0.9), data_resampling=replace(SPLINES, order=0)), ISOTROPIC),
    "transposed": (
        replace(PLAIN, transpose_forward=(2, 0, 1), transpose_backward=(1, 2, 0), spacing=(1.1, 1.3, 0.8)),
        ISOTROPIC,
    ),
    "slices": (replace(PLAIN, patch_size=(16, 8), spacing=(0.9, 0.7), mirror_axes=(0, 1)), THICK),
    "slices along another axis": (
        replace(
            PLAIN,
            patch_size=(8, 10),
            spacing=(1.0, 1.2),
            mirror_axes=(1,),
            transpose_forward=(1, 0, 2),
            transpose_backward=(1, 0, 2),
        ),
        ISOTROPIC,
    ),
    "regions": (
        replace(
            PLAIN,
            labels={"background": 0, "whole": [1, 2, 3], "core": [2, 3], "active": 3},
            regions_class_order=(1, 2, 3),
            spacing=(1.2, 1.0, 1.0),
        ),
        ISOTROPIC,
    ),
    "ignore label": (replace(PLAIN, labels={**PLAIN.labels, "ignore": 3}), ISOTROPIC),
    "folds": (replace(PLAIN, folds=PLAIN.folds * 3, spacing=(1.0, 1.2, 1.0)), ISOTROPIC),
    "no mirroring": (replace(PLAIN, mirror_axes=()), ISOTROPIC),
    "channels": (
        replace(
            PLAIN,
            channels=(
                replace(CHANNEL, only_nonzero=True),
                CT,
                replace(CHANNEL, normalization="NoNormalization"),
                replace(CHANNEL, normalization="RescaleTo01Normalization"),
                CHANNEL,
            ),
        ),
        ISOTROPIC,
    ),
    "not resampled": (replace(PLAIN, spacing=(2.0, 2.0, 2.0), data_resampling=NONE, logits_resampling=NONE), ISOTROPIC),
    "torch": (replace(PLAIN, spacing=(1.3, 0.8, 0.9), data_resampling=TORCH, logits_resampling=TORCH), ISOTROPIC),
    "torch, thick slices": (
        replace(PLAIN, spacing=(3.1, 1.0, 1.0), data_resampling=TORCH, logits_resampling=TORCH),
        THICK,
    ),
}


@pytest.fixture(scope="module")
def of_the_page(node, tmp_path_factory):
    """What node computes for all cases."""
    cases = [
        {
            "model": asdict(model),
            "channels": [channel.ravel().tolist() for channel in image(model, place["shape"])],
            **place,
            "outputs": outputs(model),
            "mirroring": True,
        }
        for model, place in CASES.values()
    ]
    file = tmp_path_factory.mktemp("page") / "cases.json"
    file.write_text(json.dumps(cases))
    driver = Path(__file__).with_name("page_steps.mjs")
    done = subprocess.run([node, driver, web.PAGE / "steps", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_segments_as_the_runtime(case, of_the_page, monkeypatch):
    model, place = CASES[case]
    monkeypatch.setattr(module, "read_description", lambda _: model)
    networks = iter([network(fold, outputs(model)) for fold in range(len(model.folds))])
    monkeypatch.setattr(module, "load_network", lambda *_, **__: next(networks))
    monkeypatch.setattr(module, "installed_engine", lambda: "none")
    tiles = []
    predictor = Predictor(Path())
    expected = predictor.predict(image(model, place["shape"]), place["spacing"], lambda *counts: tiles.append(list(counts)))
    assert len(np.unique(expected)) == outputs(model) + (predictor.labels.order is not None), "all classes are there"
    np.testing.assert_array_equal(np.reshape(of_the_page[case]["labels"], place["shape"]), expected)
    assert of_the_page[case]["tiles"] == tiles


RESAMPLE = """
import {readFileSync} from 'node:fs';
const [steps, file] = process.argv.slice(1);
const {resample} = await import(`${steps}/resampling.js`);
const {channel, shape, spacing, target, how} = JSON.parse(readFileSync(file));
console.log(JSON.stringify([...resample(channel, shape, spacing, target, how).data]));
"""


@pytest.mark.parametrize(
    ("spacing", "target", "shape"),
    [((1.0, 1.0, 1.0), (0.6, 1.2, 0.7), (15, 8, 14)), ((4.0, 1.0, 1.0), (3.1, 0.6, 0.7), (12, 17, 14))],
)
def test_cubic_splines_stay_between_the_values_of_the_image(node, tmp_path, spacing, target, shape):
    blocks = (np.random.default_rng(0).random((9, 10, 10)) > 0.5).astype(np.float32)  # which splines overshoot
    file = tmp_path / "case.json"
    case = {"channel": {"data": blocks.ravel().tolist(), "shape": blocks.shape}, "shape": shape, "how": asdict(SPLINES)}
    file.write_text(json.dumps({**case, "spacing": spacing, "target": target}))
    command = [node, "--input-type=module", "-e", RESAMPLE, web.PAGE / "steps", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ours = np.reshape(json.loads(done.stdout), shape)
    np.testing.assert_allclose(ours, resample(blocks, shape, spacing, target, SPLINES), atol=1e-6)
    assert ours.min() == 0
    assert ours.max() == 1


@pytest.mark.parametrize(("old", "length"), SIZES)
def test_takes_the_same_slices_as_torch(node, tmp_path, old, length):
    channel = np.arange(2 * old * 3, dtype=np.float32).reshape(2, old, 3)
    place = {"shape": (2, length, 3), "spacing": (1.0, 4.0, 1.0), "target": (1.0, 4.0, 1.0)}
    file = tmp_path / "case.json"
    case = {"channel": {"data": channel.ravel().tolist(), "shape": channel.shape}, "how": asdict(TORCH), **place}
    file.write_text(json.dumps(case))
    command = [node, "--input-type=module", "-e", RESAMPLE, web.PAGE / "steps", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.reshape(json.loads(done.stdout), place["shape"]), resample(channel, **place, how=TORCH))


def test_an_image_without_voxels_at_the_spacing_of_the_model_is_refused(node, tmp_path):
    file = tmp_path / "case.json"
    case = {"channel": {"data": [1.0], "shape": (1, 1, 1)}, "shape": (1, 1, 0), "how": asdict(SPLINES)}
    file.write_text(json.dumps({**case, "spacing": (1, 1, 0.01), "target": (1, 1, 1)}))
    command = [node, "--input-type=module", "-e", RESAMPLE, web.PAGE / "steps", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stderr.replace("\N{MULTIPLICATION SIGN}", "x")
    assert "spacing 1 x 1 x 0.01 and the model 1 x 1 x 1, at which its 1 x 1 x 1 voxels become 1 x 1 x 0" in said


COUNT = """
const {countVoxels, readLabels} = await import(`${process.argv[1]}/labels.js`);
const [model, labels] = process.argv.slice(2).map((text) => JSON.parse(text));
console.log(JSON.stringify(countVoxels(labels, readLabels(model).names)));
"""


@pytest.mark.parametrize(("case", "expected"), [("regions", [6, 5, 3]), ("ignore label", [1, 2])])
def test_the_voxels_of_a_region_are_those_of_all_its_labels(node, case, expected):
    arguments = [json.dumps(asdict(CASES[case][0])), json.dumps([0, 1, 2, 2, 3, 3, 3])]
    command = [node, "--input-type=module", "-e", COUNT, web.PAGE / "steps", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected


def image(model, shape):
    """Smooth noise with zeros around it and a hole inside, float32."""
    random = np.random.default_rng(0)
    channels = [gaussian_filter(random.normal(size=shape), 1) * 4 for _ in model.channels]
    array = np.stack(channels).astype(np.float32)
    array[:, :1] = array[:, :, -3:] = array[:, 3:5, 4:7, 4:7] = 0
    return array


def outputs(model):
    return Labels(model.labels, model.regions_class_order).outputs


def network(fold, outputs):
    """What page_steps.mjs computes, in float32 as well."""

    def logits(tile):
        place = np.arange(tile[0, 0].size).reshape(tile.shape[2:])
        result = []
        for output in range(outputs):
            one = ((place * (output + 3)) % 11 / 8 - (fold + 1) / 4).astype(np.float32)
            for channel, values in enumerate(tile[0]):
                one = one + values * np.float32((output + channel) % 3 - 1)
            result.append(one)
        return np.stack(result)[None]

    return logits

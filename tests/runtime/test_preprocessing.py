"""Memory of large volumes; what is computed is compared with nnU-Net in test_predictor."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from nnunetv2_ext.errors import PredictionError
from nnunetv2_ext.runtime.description import Resampling
from nnunetv2_ext.runtime.labels import Labels
from nnunetv2_ext.runtime.preprocessing import Placement, preprocess, put_back, resample_logits
from tests.runtime.test_description import DESCRIPTION

CLASSES = 60
LINEAR = Resampling("resample_data_or_seg_to_shape", 1, 0, None, 3.0)


def test_of_many_classes_one_is_at_full_size_at_a_time():
    shape = (48, 48, 48)
    box = tuple(slice(0, size) for size in shape)
    placement = Placement(shape, box, (1.0, 1.0, 1.0), (4.0, 4.0, 4.0))
    model = replace(DESCRIPTION, logits_resampling=LINEAR, transpose_backward=(0, 1, 2))
    labels = Labels({"background": 0, **{f"class {number}": number for number in range(1, CLASSES)}}, None)
    logits = np.random.default_rng(0).normal(size=(CLASSES, 12, 12, 12)).astype(np.float16)
    put_back(labels.segmentation(resample_logits(logits[:2], placement, model)), placement, model)  # what is imported for it
    tracemalloc.start()
    segmentation = put_back(labels.segmentation(resample_logits(logits, placement, model)), placement, model)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(np.unique(segmentation)) > CLASSES // 2
    assert peak < 40 * np.prod(shape), "a few volumes in double precision, where all classes in half are 120 bytes a voxel"


def test_an_image_of_zeros_is_not_cropped():
    model = replace(DESCRIPTION, spacing=(1.0, 1.0, 1.0), data_resampling=LINEAR)
    data, placement = preprocess(np.zeros((1, 4, 5, 6), np.float32), (1.0, 1.0, 1.0), model_of_z_scores(model))
    assert data.shape == (1, 6, 4, 5)
    assert placement.box == (slice(0, 6), slice(0, 4), slice(0, 5))
    assert np.isfinite(data).all()


@pytest.mark.parametrize(("spacing", "voxels"), [(0.01, "0"), (1e30, r"5e\+30")])
def test_an_image_without_voxels_at_the_spacing_of_the_model_or_with_far_too_many_is_refused(spacing, voxels):
    model = replace(DESCRIPTION, spacing=(1.0, 1.0, 1.0), data_resampling=LINEAR)
    with pytest.raises(
        PredictionError, match=rf"and the model 1 x 1 x 1, at which its 6 x 4 x 5 voxels become 6 x 4 x {voxels}:"
    ):
        preprocess(np.ones((1, 4, 5, 6), np.float32), (1.0, spacing, 1.0), model_of_z_scores(model))


def model_of_z_scores(model):
    return replace(model, channels=(replace(model.channels[0], normalization="ZScoreNormalization", only_nonzero=True),))

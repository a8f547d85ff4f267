"""Each normalisation equals nnU-Net's."""

import numpy as np
import pytest
from nnunetv2.preprocessing.normalization import default_normalization_schemes

from nnunetv2_ext.errors import PredictionError
from nnunetv2_ext.runtime.description import Channel
from nnunetv2_ext.runtime.normalization import NORMALIZATIONS, normalize

STATISTICS = {"mean": 90.0, "std": 40.0, "percentile_00_5": 20.0, "percentile_99_5": 200.0}
SHAPE = (3, 4, 5)


def _images() -> dict[str, np.ndarray]:
    colors = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.float32)
    return {"of colors": colors, "of one value": np.full(SHAPE, 7, np.float32)}


def _normalized(image: np.ndarray, nonzero: np.ndarray, channel: Channel) -> np.ndarray:
    result = image.copy()
    normalize(result, nonzero, channel)
    return result


@pytest.mark.parametrize("only_nonzero", [False, True])
@pytest.mark.parametrize("image", ["of colors", "of one value"])
@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_equals_nnunet(name, image, only_nonzero):
    image, nonzero = _images()[image], np.random.default_rng(1).random(SHAPE) > 0.3
    theirs = getattr(default_normalization_schemes, name)(only_nonzero, STATISTICS)
    expected = theirs.run(image.copy(), np.where(nonzero, 0, -1))
    result = _normalized(image, nonzero, Channel("MRI", name, only_nonzero, STATISTICS))
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_a_mask_without_a_voxel_leaves_the_image():
    image = _images()["of colors"]
    result = _normalized(image, np.zeros(SHAPE, bool), Channel("MRI", "ZScoreNormalization", True, {}))
    np.testing.assert_array_equal(result, image)


@pytest.mark.parametrize("value", [-1, 256])
def test_colors_of_more_than_8_bits_are_refused(value):
    image = _images()["of colors"]
    image[0, 0, 0] = value
    with pytest.raises(PredictionError, match="8 bits, from 0 to 255: convert the image"):
        normalize(image, None, Channel("photo", "RGBTo01Normalization", False, {}))

"""What single models don't show of resampling; whole predictions are compared with nnU-Net's in test_predictor."""

import numpy as np
import pytest
from nnunetv2.preprocessing.resampling.resample_torch import resample_torch_fornnunet

from nnunetv2_ext.runtime.resampling import LINEAR, Resampling, resample

THICK = (4.0, 1.0, 1.0)
SIZES = [(18, 33), (20, 46), (2, 41), (4, 82), (33, 18), (7, 9)]
"""of an axis before and after; in all but the last two, some position is between two old ones up to rounding"""


@pytest.mark.parametrize(("old", "length"), SIZES)
def test_torch_takes_the_same_slices(old, length):
    channel = np.tile(np.arange(old, dtype=np.float32)[:, None, None], (1, 3, 2))
    expected = resample_torch_fornnunet(channel[None], (length, 3, 2), THICK, THICK)[0]
    ours = resample(channel, (length, 3, 2), THICK, THICK, Resampling(LINEAR, 1, 0, None, 3.0))
    np.testing.assert_array_equal(ours, expected)

"""Tiles, their weights and their number are nnU-Net's; the sums are compared in test_predictor."""

import numpy as np
import pytest
import torch
from nnunetv2.inference.sliding_window_prediction import compute_gaussian, compute_steps_for_sliding_window

from nnunetv2_ext.runtime.sliding_window import SlidingWindow, importance


@pytest.mark.parametrize("patch", [(16, 16), (40, 56, 40), (3, 20, 7), (1, 5, 5), (128, 96)])
def test_weights_are_the_same_half_precision_numbers(patch):
    expected = compute_gaussian(patch, value_scaling_factor=10, device=torch.device("cpu")).numpy()
    np.testing.assert_array_equal(importance(patch), expected)
    assert importance(patch).dtype == np.float16


@pytest.mark.parametrize("size", [(16, 16, 16), (17, 40, 16), (110, 64, 33), (100, 23, 47)])
def test_tiles_begin_where_nnunets_do(size):
    patch = (16, 20, 16)
    size = tuple(max(pair) for pair in zip(size, patch, strict=True))
    starts = compute_steps_for_sliding_window(size, patch, 0.5)
    expected = [(z, y, x) for z in starts[0] for y in starts[1] for x in starts[2]]
    tiles = SlidingWindow(patch, 2, ()).tiles(size)
    assert [tuple(axis.start for axis in tile) for tile in tiles] == expected


def test_a_network_of_slices_gets_slice_after_slice():
    tiles = SlidingWindow((4, 4), 2, ()).tiles((3, 4, 6))
    assert [tile[0] for tile in tiles] == [0, 0, 1, 1, 2, 2]
    assert {tile[2].start for tile in tiles} == {0, 2}


@pytest.mark.parametrize(("axes", "count"), [((), 1), ((0,), 2), ((0, 1), 4), ((0, 1, 2), 8)])
def test_mirrorings(axes, count):
    assert len(set(SlidingWindow((4, 4, 4), 2, axes).mirrorings)) == count

"""The simulated differences between scans."""

import numpy as np
import pytest

from nnunetv2_ext.demo.scanner import scan


def ramp() -> np.ndarray:
    return np.broadcast_to(np.linspace(0, 1, 16, dtype=np.float32), (16, 16, 16))


def test_same_seed_same_scan() -> None:
    first, second, other = (scan(ramp(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.dtype == np.float32
    assert np.array_equal(first, second)
    assert not np.allclose(first, other)


def blocks() -> tuple[np.ndarray, np.ndarray]:
    """Cubes as bright as white and grey matter by turns, and which of them are white."""
    white = np.indices((8, 8, 8)).sum(0) % 2 == 1
    return np.kron(np.where(white, 0.84, 0.66), np.ones((4, 4, 4))).astype(np.float32), white


def means(image: np.ndarray) -> np.ndarray:
    """Of each cube."""
    return image.reshape(8, 4, 8, 4, 8, 4).mean((1, 3, 5))


@pytest.mark.parametrize("seed", range(5))
def test_white_matter_is_brighter_than_what_is_beside_it_but_not_than_all_grey_matter(seed) -> None:
    image, white = blocks()
    scanned = means(scan(image, np.random.default_rng(seed)))
    for axis in range(3):
        brighter = np.diff(scanned, axis=axis) > 0
        assert np.array_equal(brighter, np.diff(white.astype(int), axis=axis) > 0), "the anatomy stays where it is"
    assert scanned[~white].max() > 1.3 * scanned[white].min(), "no threshold tells them apart"


def test_scans_differ_in_scale_more_than_a_fixed_threshold_stands() -> None:
    means = [scan(ramp(), np.random.default_rng(seed)).mean() for seed in range(10)]
    assert max(means) > 2 * min(means)

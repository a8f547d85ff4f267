"""The simulated differences between scans."""

import numpy as np

from nnunetv2_ext.demo.scanner import scan


def ramp() -> np.ndarray:
    return np.broadcast_to(np.linspace(0, 1, 16, dtype=np.float32), (16, 16, 16))


def test_same_seed_same_scan() -> None:
    first, second, other = (scan(ramp(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.dtype == np.float32
    assert np.array_equal(first, second)
    assert not np.allclose(first, other)


def test_anatomy_stays() -> None:
    for seed in range(5):
        image = scan(ramp(), np.random.default_rng(seed))
        assert (image > 0).all()
        assert np.corrcoef(image.ravel(), ramp().ravel())[0, 1] > 0.8


def test_scans_differ_in_scale_more_than_a_fixed_threshold_stands() -> None:
    means = [scan(ramp(), np.random.default_rng(seed)).mean() for seed in range(10)]
    assert max(means) > 2 * min(means)

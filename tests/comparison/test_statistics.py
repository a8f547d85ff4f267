"""Against scipy and statsmodels, cases worked by hand, and what they promise: coverage and power."""

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests

from nnunetv2_ext.comparison.statistics import bootstrap_interval, holm, wilcoxon_p

# 52 cases with the standard deviation and the mean difference that two real trainers had
CASES, SPREAD, GAIN = 52, 0.0106, 0.0042


def test_the_interval_is_bca() -> None:
    """Efron's formulas written out: bias from the share below the mean, acceleration from the jackknife."""
    values = np.random.default_rng(1).gamma(1.0, size=30)
    low, high = bootstrap_interval(values, resamples=20_000)
    normal = scipy.stats.norm
    means = np.sort(values[np.random.default_rng(7).integers(0, 30, (20_000, 30))].mean(1))
    bias = normal.ppf((means < values.mean()).mean())
    jackknife = (values.sum() - values) / 29
    deviation = jackknife.mean() - jackknife
    acceleration = (deviation**3).sum() / (6 * (deviation**2).sum() ** 1.5)
    for end, level in ((low, 0.025), (high, 0.975)):
        z = bias + normal.ppf(level)
        share = normal.cdf(bias + z / (1 - acceleration * z))
        assert end == pytest.approx(np.quantile(means, share), abs=0.02)
    assert high - values.mean() > values.mean() - low  # skewed to the right, as the values are


def test_the_interval_is_the_same_every_time() -> None:
    values = np.random.default_rng(0).normal(size=20)
    assert bootstrap_interval(values) == bootstrap_interval(values)


def test_the_interval_without_variation_or_cases() -> None:
    assert bootstrap_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)
    assert np.isnan(bootstrap_interval([0.5])).all()
    assert np.isnan(bootstrap_interval([])).all()


def test_the_interval_covers_zero_as_often_as_it_says() -> None:
    draws = np.random.default_rng(3).normal(0, SPREAD, (2000, CASES))
    low, high = bootstrap_interval(draws, resamples=999)
    assert 0.93 <= ((low <= 0) & (high >= 0)).mean() <= 0.97


def test_a_difference_as_large_as_a_real_one_is_found() -> None:
    differences = np.random.default_rng(5).normal(size=CASES)
    differences = GAIN + SPREAD * (differences - differences.mean()) / differences.std(ddof=1)
    low, high = bootstrap_interval(differences)
    assert 0 < low < GAIN < high
    assert wilcoxon_p(differences) < 0.05


def test_it_is_found_as_often_as_a_t_test_finds_it() -> None:
    draws = np.random.default_rng(4).normal(GAIN, SPREAD, (500, CASES))
    low, _ = bootstrap_interval(draws, resamples=999)
    t_test = scipy.stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05
    assert (low > 0).mean() == pytest.approx(t_test.mean(), abs=0.04)
    assert (low > 0).mean() > 0.75


def test_wilcoxon_by_hand() -> None:
    # Five differences of one sign: both tails together are 2 of the 2^5 ways to give ranks their signs.
    assert wilcoxon_p([0.1, 0.2, 0.3, 0.4, 0.5]) == pytest.approx(2 / 32)
    # One of the other sign with rank 1: the rank sum 1 or less comes in 2 ways in each tail.
    assert wilcoxon_p([-0.1, 0.2, 0.3, 0.4, 0.5]) == pytest.approx(4 / 32)
    assert wilcoxon_p([0.0, 0.0]) == 1.0
    assert np.isnan(wilcoxon_p([]))


def test_wilcoxon_leaves_zeros_out() -> None:
    values = np.random.default_rng(2).normal(0.3, 1, 60)
    assert wilcoxon_p([*values, 0.0, 0.0]) == pytest.approx(wilcoxon_p(values), rel=0.05)


def test_holm_is_that_of_statsmodels() -> None:
    for seed in range(4):
        p = np.random.default_rng(seed).uniform(0, 0.2, 1 + 3 * seed)
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_holm_by_hand() -> None:
    nan = float("nan")
    assert holm([0.04, nan, 0.01, 0.03]) == pytest.approx([0.06, nan, 0.03, 0.06], nan_ok=True)
    assert holm([]) == []

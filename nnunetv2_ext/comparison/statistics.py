"""The statistics of paired differences, on scipy's implementations."""

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.stats

CONFIDENCE = 0.95
RESAMPLES = 9999


def bootstrap_interval(
    differences: npt.ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The 95 % BCa bootstrap interval (Efron, JASA 1987) of the mean, along the last axis.

    Args:
        differences: (..., n) without nan
        resamples: how many bootstrap samples
        seed: of the resampling, so that the same runs always give the same interval

    Returns:
        the lower and the upper end, both of shape (...). Both are nan where n < 2. Where all differences are equal the
        bootstrap distribution is that one value, and so are both ends.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.shape[-1] < 2:
        nothing = np.full(values.shape[:-1], np.nan)
        return nothing, nothing
    constant = np.ptp(values, axis=-1) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy.stats.DegenerateDataWarning)  # where all are equal
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = scipy.stats.bootstrap(
            (values,),
            np.mean,
            axis=-1,
            vectorized=True,
            n_resamples=resamples,
            batch=max(1, 10_000_000 // values.size),
            confidence_level=CONFIDENCE,
            method="BCa",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    mean = values.mean(-1)
    return np.where(constant, mean, interval.low), np.where(constant, mean, interval.high)


def wilcoxon_p(differences: npt.ArrayLike) -> float:
    """The two-sided p-value of Wilcoxon's signed-rank test; differences of zero are left out, as he does.

    Args:
        differences: (n,) without nan; 1 if none of them differs from zero, nan if there are none
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.size == 0:
        return float("nan")
    if not values.any():
        return 1.0
    return float(scipy.stats.wilcoxon(values).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Scand J Stat 1979) of a family of p-values; nan stays nan and is no part of the family."""
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    family = np.flatnonzero(~np.isnan(p))
    order = family[np.argsort(p[family])]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in adjusted]

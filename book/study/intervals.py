"""How sure a median or a correlation is: exact and bootstrap intervals over rooms, scenes or seeds."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import ConstantInputWarning, DegenerateDataWarning, binom, bootstrap, pearsonr, rankdata

LEVEL = 0.95
RESAMPLES = 2000
FEWEST = 6  # rooms of which an interval of a ratio can be given
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A median (or another statistic of the sample) with the ends of its interval, in one unit."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} … {self.high:.3g})"


def median_interval(values: Iterable[float], seed: int, draws: int = 2000) -> Interval:
    """The median of `values` with its 95 % percentile bootstrap interval.

    Each of the `draws` resamples as many values as there are, with replacement; one value gives a point. The
    interval speaks of other rooms from the same distribution, not of other training runs.

    Raises:
        ValueError: no values, or values that are not finite.
    """
    sample = np.asarray(list(values), dtype=float)
    if sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError(f"need at least one value and only finite ones, got {sample.tolist()}")
    if sample.size == 1:
        return Interval(*[float(sample[0])] * 3)
    return _interval(np.median, (sample,), seed, draws)


def mean_ratio(new: ArrayLike, old: ArrayLike, seed: int = 0, paired: bool = True) -> Interval:
    """Ratio of means over rooms with its 95 % bootstrap-t interval; `median` of the result is the ratio.

    paired: the two are of the same rooms in the same order. Studentised on the log scale, since percentile
    and BCa intervals of skewed errors are too short below some twenty rooms. Below `FEWEST` rooms it has no
    ends.
    """
    rng, samples = np.random.default_rng(seed), (np.asarray(new, float), np.asarray(old, float))
    value, error = _log_ratio(*samples, paired)
    if error < 1e-12:  # the same in every room
        return Interval(*[float(np.exp(value))] * 3)
    if min(len(sample) for sample in samples) < FEWEST:
        return Interval(float(np.exp(value)), 0.0, math.inf)
    draws = [rng.integers(0, len(sample), (RESAMPLES, len(sample))) for sample in samples]
    again, spread = _log_ratio(samples[0][draws[0]], samples[1][draws[0 if paired else 1]], paired)
    low, high = np.quantile((again - value) / np.maximum(spread, error / 100), [0.025, 0.975])
    return Interval(*(float(np.exp(end)) for end in (value, value - high * error, value - low * error)))


def _log_ratio(new: Array, old: Array, paired: bool) -> tuple[Array, Array]:
    """ln of the ratio of means along the last axis, and its standard error to first order."""
    a, b = new / new.mean(-1, keepdims=True), old / old.mean(-1, keepdims=True)
    variance = (
        (a - b).var(-1, ddof=1) / a.shape[-1]
        if paired
        else sum(x.var(-1, ddof=1) / x.shape[-1] for x in (a, b))
    )
    return np.log(new.mean(-1) / old.mean(-1)), np.sqrt(variance)


def sign_rank(count: int) -> int:
    """Which of `count` values, from either end, bounds the median with 95 %; 0 below six: none does."""
    return int(binom.ppf((1 - LEVEL) / 2, count, 0.5))


def sign_interval(values: Iterable[float]) -> Interval:
    """The median of `values` with its exact 95 % interval, that of the sign test; no draw, no assumption.

    It holds its level at any number of values, where a percentile bootstrap of the median misses about one
    time in ten at eight. Below six values no interval holds it, and the ends are infinite.

    Raises:
        ValueError: no values, or values that are not finite.
    """
    sample = np.sort(np.asarray(list(values), dtype=float))
    if sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError(f"need at least one value and only finite ones, got {sample.tolist()}")
    rank = sign_rank(sample.size)
    ends = (sample[rank - 1], sample[-rank]) if rank else (-np.inf, np.inf)
    return Interval(float(np.median(sample)), float(ends[0]), float(ends[1]))


def rank_correlation(x: ArrayLike, y: ArrayLike, axis: int = -1) -> Any:
    """Spearman's ρ along an axis, ties at their mean rank; NaN where one side is constant."""
    return _pearson(rankdata(x, axis=axis), rankdata(y, axis=axis), axis=axis)


def correlation_interval(
    x: ArrayLike, y: ArrayLike, seed: int, *, ranks: bool = False, draws: int = 2000
) -> Interval:
    """Pearson's coefficient (Spearman's with `ranks`) with its 95 % percentile bootstrap interval over pairs.

    `median` of the result is the coefficient of the sample. Resamples in which one side is constant are left
    out.

    Raises:
        ValueError: fewer than three pairs, values that are not finite, or a constant side.
    """
    a, b = np.asarray(x, float), np.asarray(y, float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 3 or not np.isfinite([a, b]).all():
        raise ValueError(f"need at least three finite pairs, got {a.tolist()} and {b.tolist()}")
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        raise ValueError("one side is constant: a correlation is not defined")
    return _interval(rank_correlation if ranks else _pearson, (a, b), seed, draws)


def _interval(
    statistic: Callable[..., Any], samples: tuple[NDArray[np.float64], ...], seed: int, draws: int
) -> Interval:
    """Percentile bootstrap; several samples are resampled in pairs."""
    rng = np.random.default_rng(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # some resamples are all alike
        found = bootstrap(samples, statistic, paired=True, n_resamples=draws, method="percentile", rng=rng)
    low, high = np.nanquantile(found.bootstrap_distribution, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(statistic(*samples)), float(low), float(high))


def _pearson(x: ArrayLike, y: ArrayLike, axis: int = -1) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)  # NaN tells it
        return pearsonr(x, y, axis=axis).statistic

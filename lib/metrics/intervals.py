"""How sure a median is: bootstrap intervals over rooms, scenes or seeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A median with the ends of its interval, in the unit of the values."""

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
    chosen = np.random.default_rng(seed).integers(sample.size, size=(draws, sample.size))
    medians = np.median(sample[chosen], axis=1)
    low, high = np.quantile(medians, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(np.median(sample)), float(low), float(high))

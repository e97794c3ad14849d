"""Rival explanations of worse results on longer sequences: what each predicts, and how a word is computed.

The predictions and the yardstick were written before the first run of ``book/runs/rivals.ipynb``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from book.study.intervals import Interval, correlation_interval, median_interval, rank_correlation

Array = NDArray[np.float64]

NOTICEABLE = 1.25  # a ratio of errors within 1/1.25 … 1.25 counts as no change
MOST_STRETCH = 16.0  # largest stretch of a depth profile that is looked for, and its inverse the smallest

# experiment -> the ratio of rotation errors that it measures; lengths as `labels` fills them in
EXPERIMENTS = {
    "frames-4": "{grown} × as many frames of one stretch, network trained on at most 4",
    "frames-12": "{grown} × as many frames of one stretch, network trained on at most 12",
    "frames-24": "{grown} × as many frames of one stretch, network trained on at most 24",
    "training": "growth of the first of these three over that of the third",
    "path": "{more} frames on a longer path, over {more} on a short one",
    "long-path": "{along} × as many frames of the longer path",
    "middle": "longer path, the middle frame as frame 0, over the first",
    "copies": "{few} frames and 24 copies of them, over {few} alone",
    "between": "{few} frames and 24 new ones of the same stretch, over {few} alone",
    "onward": "{few} frames and 24 that walk on, over {few} alone",
    "strangers": "{few} frames and 24 of another room, over {few} alone",
}

# explanation -> what it says of each experiment, in the order above; None where it says nothing
PREDICTIONS: Mapping[str, tuple[str | None, ...]] = {
    "collapse with the number of tokens": (
        "up", "up", "up", "same", "same", "up", "same", "up", "up", "up", "up",
    ),
    "more frames than in training": (
        "up", "up", "up", "up", "same", "up", "same", "up", "up", "up", "up",
    ),
    "distance from frame 0": (
        "same", "same", "same", "same", "up", "same", "down", "same", "same", "same", "same",
    ),
    "dilution by keys that do not matter": (
        "same", "same", "same", "same", "up", "same", "same", "same", "same", "up", "up",
    ),
}  # fmt: skip


def labels(few: int, more: int, many: int, longest: int) -> dict[str, str]:
    """`EXPERIMENTS` with the numbers of frames of the runs; `longest`: those on the longer path."""
    filled = {"few": few, "more": more, "grown": f"{many / few:.2g}", "along": f"{longest / more:.2g}"}
    return {name: label.format(**filled) for name, label in EXPERIMENTS.items()}


def ratio(new: ArrayLike, old: ArrayLike, seed: int) -> Interval:
    """Median over scenes of new / old, scene by scene, with its bootstrap interval.

    The interval is that of the median logarithm. `new` and `old`: (scenes,) positive, the same scenes in the
    same order; the longer one is cut. Scenes where one is not defined are left out.

    Raises:
        ValueError: no scene has both.
    """
    a, b = (np.asarray(v, dtype=float) for v in (new, old))
    count = min(len(a), len(b))
    logs = np.log(a[:count] / b[:count])
    found = median_interval(logs[np.isfinite(logs)], seed)
    return Interval(*(math.exp(v) for v in (found.median, found.low, found.high)))


def direction(found: Interval, noticeable: float = NOTICEABLE) -> str:
    """ "up", "down", "same" or "not clear", from a ratio and its interval.

    A change is noticeable and has 1 outside its interval; "same" is an interval wholly within the yardstick.
    """
    if found.median > noticeable and found.low > 1:
        return "up"
    if found.median < 1 / noticeable and found.high < 1:
        return "down"
    inside = 1 / noticeable < found.low and found.high < noticeable
    return "same" if inside else "not clear"


def score(predicted: Sequence[str | None], measured: Sequence[str]) -> tuple[int, int]:
    """How many predictions came out as predicted, and how many were decided."""
    decided = [(p, m) for p, m in zip(predicted, measured, strict=True) if p is not None and m != "not clear"]
    return sum(p == m for p, m in decided), len(decided)


def growth_powers(errors: ArrayLike, frames: Sequence[int]) -> Array:
    """Power of the number of frames with which the error of each scene grows: least-squares slope of logs.

    errors: (lengths, scenes), positive; frames: (lengths,). Returns (scenes,).

    Raises:
        ValueError: fewer than two lengths, or shapes that do not fit.
    """
    values = np.asarray(errors, dtype=float)
    if len(frames) < 2 or values.ndim != 2 or len(values) != len(frames):
        raise ValueError(f"errors {values.shape} must be (lengths, scenes) of lengths {tuple(frames)}, ≥ 2")
    slopes: Array = np.polyfit(np.log(frames), np.log(values), 1)[0]
    return slopes


def correlation_over_scenes(x: ArrayLike, y: ArrayLike, seed: int) -> Interval:
    """Spearman's ρ with its bootstrap interval over the scenes in which both are defined.

    Raises:
        ValueError: fewer than four such scenes, or one side is constant.
    """
    a, b = (np.asarray(v, dtype=float) for v in (x, y))
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 4:
        raise ValueError(f"a rank correlation needs at least four scenes, got {both.sum()}")
    return correlation_interval(a[both], b[both], seed, ranks=True)


def partial_rank_correlation(x: ArrayLike, y: ArrayLike, given: ArrayLike) -> float:
    """Spearman's ρ of x and y with the ranks of `given` held fixed; NaN where it is not defined."""
    pairs = ((x, y), (x, given), (y, given))
    xy, xz, yz = (float(rank_correlation(*pair)) for pair in pairs)
    left = (1 - xz**2) * (1 - yz**2)
    return (xy - xz * yz) / math.sqrt(left) if left > 1e-12 else math.nan


def curve_distance(base: ArrayLike, other: ArrayLike, stretch: float, reach: float | None = None) -> float:
    """RMS distance of two depth profiles (L,) when `other` is drawn against ℓ/stretch.

    The mean is over base layers ℓ from 0 to `reach`, by default as far as both curves go, profiles linear
    between layers. Equation (10) says that it vanishes for stretch = d.

    Raises:
        ValueError: profiles of different depth, a stretch that is not positive, a reach beyond a curve.
    """
    a, b = (np.asarray(v, dtype=float) for v in (base, other))
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2 or not stretch > 0:
        raise ValueError(f"profiles {a.shape} and {b.shape} must be of one depth ≥ 2, stretch {stretch} > 0")
    most = (len(a) - 1) / max(1.0, stretch)
    reach = most if reach is None else reach
    if not 0 < reach <= most + 1e-9:
        raise ValueError(f"reach must lie in (0, {most:g}], got {reach}")
    layers, at = np.arange(len(a)), np.linspace(0.0, reach, 101)
    gap = np.interp(at * stretch, layers, b) - np.interp(at, layers, a)
    return float(np.sqrt(np.mean(gap**2)))


def rescaling_ratio(base: ArrayLike, other: ArrayLike, stretch: float) -> float:
    """Distance after drawing `other` against ℓ/stretch over that before, on the same base layers."""
    reach = (len(np.asarray(base)) - 1) / max(1.0, stretch)
    return curve_distance(base, other, stretch) / curve_distance(base, other, 1.0, reach)


def best_stretch(base: ArrayLike, other: ArrayLike) -> float:
    """The stretch of depth, from 1/16 to 16, at which `other` lies nearest to `base`.

    Distances are compared as they are, each over the layers that both curves then cover, but at least one.
    """
    depth = len(np.asarray(base)) - 1
    limit = min(MOST_STRETCH, float(depth))
    candidates = np.exp(np.linspace(-math.log(MOST_STRETCH), math.log(limit), 121))
    distances = [curve_distance(base, other, float(s)) for s in candidates]
    return float(candidates[int(np.argmin(distances))])

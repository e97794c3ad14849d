"""What a sweep over m says: curves over scenes, laws and their errors, and the split into static and dynamic.

Works on records of ``book/runs/fusion.ipynb``, or on anything else that gives an array for a name such as
"propagated.token.entropy", (scenes, layers, heads). A scene's rank is the mean over layers and heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from book.study.fits import Fit, polynomial

Array = NDArray[np.float64]


class Arrays(Protocol):
    """A record: arrays by name."""

    def __getitem__(self, name: str, /) -> Any: ...


def ranks(record: Arrays, matrix: str, part: str = "propagated") -> Array:
    """(scenes, layers, heads) effective rank e^H of "token", "lifted" or "pooled" attention."""
    return np.exp(np.asarray(record[f"{part}.{matrix}.entropy"], dtype=np.float64))


def scene_ranks(record: Arrays, matrix: str, part: str = "propagated") -> Array:
    """(scenes,) effective rank, mean over layers and heads."""
    return np.asarray(ranks(record, matrix, part).mean(axis=(1, 2)))


def scene_entropies(
    record: Arrays, matrix: str, part: str = "propagated", size: float | None = None
) -> Array:
    """(scenes,) H / ln k, mean over layers and heads; `size` in place of k fixes the normaliser."""
    entropy = np.asarray(record[f"{part}.{matrix}.entropy"], dtype=np.float64)
    k = record[f"{part}.{matrix}.size"] if size is None else size
    return np.asarray((entropy / np.log(np.maximum(k, 2))).mean(axis=(1, 2)))


@dataclass(frozen=True)
class Split:
    """Changes of ln r between m = 0 and m, (scenes,) each: whole = static + dynamic (T8 of the book)."""

    static: Array
    dynamic: Array

    @property
    def whole(self) -> Array:
        """(scenes,) the whole change."""
        return self.static + self.dynamic

    @property
    def static_share(self) -> Array:
        """(scenes,) |static| / (|static| + |dynamic|), in [0, 1]."""
        return np.abs(self.static) / (np.abs(self.static) + np.abs(self.dynamic))


def split(merged: Arrays, plain: Arrays, matrix: str) -> Split:
    """The two parts of the change from the record at m = 0 to the one at m, of the same scenes."""
    before = np.log(scene_ranks(plain, matrix))
    same_tokens = np.log(scene_ranks(merged, matrix, "static"))
    return Split(same_tokens - before, np.log(scene_ranks(merged, matrix)) - same_tokens)


def exponential_law(m: ArrayLike, values: Array, until: float) -> Array:
    """The paper's law, ln r = a + b m, by least squares for each scene on the m up to `until`.

    Args:
        m: (rows,) fusion strengths. values: (rows, scenes) effective ranks.

    Returns:
        (rows, scenes) ranks that the law gives at every m.

    Raises:
        ValueError: fewer than three m up to `until`; a line through two points says nothing.
    """
    strengths = np.asarray(m, dtype=np.float64)
    fitted = strengths <= until
    if fitted.sum() < 3:
        raise ValueError(f"the law needs three m up to {until}, got {strengths[fitted].tolist()}")
    design = polynomial(strengths, 1)
    columns = [
        design @ Fit(design[fitted], np.log(values[fitted, scene])).coefficients
        for scene in range(values.shape[1])
    ]
    return np.exp(np.stack(columns, axis=1))


def relative_errors(predicted: Array, measured: Array) -> Array:
    """(scenes,) mean over rows of |predicted - measured| / measured; both (rows, scenes)."""
    return np.asarray(np.mean(np.abs(predicted - measured) / measured, axis=0))


def interior_maximum(values: Array) -> Array:
    """(scenes,) True where the largest of the rows (in order of m) is neither the first nor the last."""
    best = np.argmax(values, axis=0)
    return (best > 0) & (best < len(values) - 1)


def depth_profile(record: Arrays, name: str) -> Array:
    """(scenes, layers) of an array, averaged over heads where it has them."""
    values = np.asarray(record[name], dtype=np.float64)
    return np.asarray(values.mean(axis=2)) if values.ndim == 3 else values


def rank_bound_profile(first: float, beta: float, tokens: int, layers: int) -> Array:
    """(layers,) Eq. (1) with r = 1 and C = first - 1, read as an equality: 1 + (first - 1) e^(-βℓ/N)."""
    return 1 + (first - 1) * np.exp(-beta * np.arange(layers) / tokens)


def log_slope(profile: Sequence[float] | Array, first: int = 0) -> float:
    """Least-squares slope of ln value against ln(block number, from 1), from layer `first` on.

    Raises:
        ValueError: fewer than three layers are left.
    """
    values = np.asarray(profile, dtype=np.float64)[first:]
    if len(values) < 3:
        raise ValueError(f"a slope needs three layers; {len(values)} are left from layer {first} on")
    depth = np.log(np.arange(first, first + len(values)) + 1.0)
    return float(Fit(polynomial(depth, 1), np.log(values)).coefficients[1])

"""Forensics of Table 1: rounding envelopes of a fit, the size behind the ranks, and a rival without dynamics.

A printed number stands for an interval, half a unit of its last digit to either side. Whatever is claimed of
a table should hold for every value in those intervals; the functions here propagate them exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from book.study.fits import hat_matrix

Array = NDArray[np.float64]


def fitted_interval(design: Array, low: ArrayLike, high: ArrayLike) -> tuple[Array, Array]:
    """Smallest and largest fitted value at each row when every value lies anywhere between low and high.

    ``low``, ``high`` (rows,). Exact, because fitted values are linear in the values. Returns (rows,) twice.
    """
    hat = hat_matrix(design)
    up, down, a, b = np.maximum(hat, 0), np.minimum(hat, 0), np.asarray(low), np.asarray(high)
    return up @ a + down @ b, up @ b + down @ a


def implied_size(
    ranks: ArrayLike, entropies: ArrayLike, rank_half: float, entropy_half: float
) -> tuple[Array, Array]:
    """Interval of k with rank = k^entropy, for ranks ± rank_half and entropies ± entropy_half, row by row."""
    r, h = np.asarray(ranks, dtype=float), np.asarray(entropies, dtype=float)
    low = np.exp(np.log(r - rank_half) / (h + entropy_half))
    return low, np.exp(np.log(r + rank_half) / (h - entropy_half))


def mean_deviation(predicted: ArrayLike, measured: ArrayLike) -> float:
    """Mean of |predicted − measured|/measured, in per cent."""
    p, q = np.asarray(predicted, dtype=float), np.asarray(measured, dtype=float)
    return float(100 * np.mean(np.abs(p - q) / q))


# A rival explanation of Table 1: redundant tokens, one softmax, no layers ---------------------------------


def zipf_shares(size: int, exponent: float) -> Array:
    """(size,) shares ∝ rank^(−exponent), descending, summing to one."""
    shares = np.arange(1, size + 1, dtype=float) ** -exponent
    return shares / shares.sum()


def merge_largest(shares: ArrayLike, m: float) -> Array:
    """Shares left when a fraction ``m`` of all tokens is merged away, always from the largest clusters.

    ``shares`` (K,) descending, summing to one. All clusters above a common cap are cut down to it. The result
    sums to one again (of the tokens that are left).

    Raises:
        ValueError: m outside [0, 1).
    """
    if not 0 <= m < 1:
        raise ValueError(f"m must lie in [0, 1), got {m}")
    p = np.asarray(shares, dtype=float)
    tail = np.cumsum(p[::-1])[::-1] - p  # what lies below cluster j
    caps = (1 - m - tail) / np.arange(1, len(p) + 1)  # cap, if clusters 0 … j are the ones that are cut
    cut = int(np.argmax(caps >= np.append(p[1:], 0.0)))  # the first j whose cap reaches the next cluster
    left = np.minimum(p, caps[cut])
    return left / left.sum()


def cluster_entropy(shares: ArrayLike, logit: float) -> float:
    """Normalised singular-value entropy of one softmax attention matrix over clusters of identical tokens.

    ``shares`` (K,) of the tokens in each cluster; logits are ``logit`` inside a cluster and 0 between. The
    N×N matrix has exactly the singular values of the K×K one formed here, whatever N. Divided by ln K.
    """
    w = np.asarray(shares, dtype=float)
    gain = np.expm1(logit)
    scale = 1 / (1 + gain * w)
    matrix = np.outer(scale * np.sqrt(w), np.sqrt(w))
    matrix[np.diag_indices(len(w))] += gain * w * scale
    values = np.linalg.svd(matrix, compute_uv=False)
    p = values[values > 0] / values.sum()
    return float(-(p * np.log(p)).sum() / np.log(len(w)))


@dataclass(frozen=True)
class StaticModel:
    """Zipf redundancy and one softmax: ``exponent`` of the cluster sizes, ``logit`` inside a cluster, K."""

    exponent: float
    logit: float
    size: int

    def entropies(self, strengths: ArrayLike) -> Array:
        """(rows,) normalised entropy at each fusion strength; no layer, no time, no diffusion."""
        shares = zipf_shares(self.size, self.exponent)
        found = [cluster_entropy(merge_largest(shares, m), self.logit) for m in np.atleast_1d(strengths)]
        return np.array(found)

    @classmethod
    def fit(cls, strengths: ArrayLike, entropies: ArrayLike, size: int) -> StaticModel:
        """The two parameters by least squares from a fixed start (exponent 1, logit 2)."""
        h = np.asarray(entropies, dtype=float)
        found = least_squares(
            lambda q: cls(q[0], q[1], size).entropies(strengths) - h, [1.0, 2.0], diff_step=1e-3, xtol=1e-5
        )
        return cls(float(found.x[0]), float(found.x[1]), size)

"""Statistics of small printed tables: exact least squares, rounding envelopes, and a rival without dynamics.

A printed number stands for an interval, half a unit of its last digit to either side. Whatever is claimed of
a table should hold for every value in those intervals; the functions here propagate them exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """Ordinary least squares of ``values`` (rows,) on the columns of ``design`` (rows, k), rows > k."""

    design: Array
    values: Array

    def __post_init__(self) -> None:
        rows, columns = self.design.shape
        if self.values.shape != (rows,) or rows <= columns:
            raise ValueError(
                f"{columns} coefficients need more than {columns} values, one for each of the {rows} rows of "
                f"the design; got values of shape {self.values.shape}"
            )
        if np.linalg.matrix_rank(self.design) < columns:
            raise ValueError(f"the {columns} columns of the design are linearly dependent; leave one out")

    @property
    def coefficients(self) -> Array:
        """(k,) in order of the columns."""
        return np.asarray(np.linalg.lstsq(self.design, self.values, rcond=None)[0], dtype=np.float64)

    @property
    def fitted(self) -> Array:
        """(rows,) values of the fit."""
        return self.design @ self.coefficients

    @property
    def residuals(self) -> Array:
        """(rows,) values minus fitted."""
        return self.values - self.fitted

    @property
    def rms(self) -> float:
        """Root mean square residual, in the unit of the values (divided by rows, not degrees of freedom)."""
        return float(np.sqrt(np.mean(self.residuals**2)))

    @property
    def aic(self) -> float:
        """Akaike's criterion for Gaussian residuals, rows·ln(RSS/rows) + 2(k+1): smaller is better."""
        rows, columns = self.design.shape
        return float(rows * np.log(self.residuals @ self.residuals / rows) + 2 * (columns + 1))

    @property
    def leave_one_out(self) -> float:
        """Root mean square error of predicting each row by a fit to the others: e_i/(1 − h_ii), exact.

        Raises:
            ValueError: one row alone determines a coefficient, so that it cannot be predicted.
        """
        leverage = np.diag(hat_matrix(self.design))
        if np.any(leverage > 1 - 1e-12):
            raise ValueError("a row has leverage 1: without it the fit is not determined")
        return float(np.sqrt(np.mean((self.residuals / (1 - leverage)) ** 2)))

    @property
    def t_statistics(self) -> Array:
        """(k,) coefficients over their standard errors, with rows − k degrees of freedom."""
        rows, columns = self.design.shape
        variance = self.residuals @ self.residuals / (rows - columns)
        errors = np.sqrt(variance * np.diag(np.linalg.inv(self.design.T @ self.design)))
        return self.coefficients / errors


def polynomial(x: ArrayLike, degree: int) -> Array:
    """(rows, degree+1) columns 1, x, x², …"""
    return np.vander(np.asarray(x, dtype=float), degree + 1, increasing=True)


def hat_matrix(design: Array) -> Array:
    """(rows, rows) projection that maps values to fitted values."""
    return design @ np.linalg.pinv(design)


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


def local_exponents(runtimes: ArrayLike, kept: ArrayLike, half: float = 0.0) -> tuple[Array, Array, Array]:
    """p with T = kept^p, and its smallest and largest value for T ± half. ``kept`` in (0, 1)."""
    t, x = np.asarray(runtimes, dtype=float), np.log(np.asarray(kept, dtype=float))
    return np.log(t) / x, np.log(t + half) / x, np.log(t - half) / x


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

"""Exact least squares on few rows, what it says of rows it was not shown, and exponents from row to row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

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


def local_exponents(runtimes: ArrayLike, kept: ArrayLike, half: float = 0.0) -> tuple[Array, Array, Array]:
    """p with T = kept^p, and its smallest and largest value for T ± half. ``kept`` in (0, 1)."""
    t, x = np.asarray(runtimes, dtype=float), np.log(np.asarray(kept, dtype=float))
    return np.log(t) / x, np.log(t + half) / x, np.log(t - half) / x


def growth(entropy: Array, lengths: Sequence[int]) -> Array:
    """(scenes, layers) slope of ln(effective number of keys) against ln S, from 8 frames on.

    entropy: (lengths, scenes, layers), nats; its exponential is the effective number of keys.
    """
    used = [place for place, frames in enumerate(lengths) if frames >= 8]
    at = np.log([lengths[place] for place in used])
    flat = entropy[used].reshape(len(used), -1)
    slope: Array = np.polyfit(at, flat, 1)[0].reshape(entropy.shape[1:])
    return slope

"""The softmax expanded in its logits: truncations, their errors, and sharp bounds. Source: chapter 3.

Logits are β times cosines, a row per query. Everything here is invariant to adding a constant to a
row. A "row error" is Σ_j |A_ij − truncation_ij|, twice the total variation.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.stats import norm
from torch import Tensor

ROW_CONSTANT = 2 / (3 * math.sqrt(3))  # half the largest E|(s−E s)²−Var s| for −1 ≤ s ≤ 1
EXTREMAL_SHARE = (1 - 1 / math.sqrt(3)) / 2  # share of tokens in the smaller of two opposite groups


def truncated_softmax(logits: Float[Tensor, "*rows keys"], order: int) -> Float[Tensor, "*rows keys"]:
    """Softmax up to ``order`` 0, 1 (Eq. 3) or 2 in the logits; rows sum to one.

    Raises:
        ValueError: another order.
    """
    if order not in (0, 1, 2):
        raise ValueError(f"order {order} must be 0, 1 or 2")
    centred = logits - logits.mean(-1, keepdim=True)
    total = torch.ones_like(logits)
    if order >= 1:
        total = total + centred
    if order >= 2:
        square = centred.square()
        total = total + (square - square.mean(-1, keepdim=True)) / 2
    return total / logits.shape[-1]


def row_errors(logits: Float[Tensor, "*rows keys"], order: int = 1) -> Float[Tensor, "*rows"]:
    """Σ_j |A_ij − truncation_ij| for every row."""
    return (torch.softmax(logits, -1) - truncated_softmax(logits, order)).abs().sum(-1)


def entry_errors(logits: Float[Tensor, "*rows keys"]) -> Float[Tensor, "*rows"]:
    """Largest N·|A_ij − (3)_ij| of every row."""
    return logits.shape[-1] * (torch.softmax(logits, -1) - truncated_softmax(logits, 1)).abs().amax(-1)


def half_ranges(logits: Float[Tensor, "*rows keys"]) -> Float[Tensor, "*rows"]:
    """Half the distance between the largest and the smallest logit of a row: αω of the bounds."""
    return (logits.amax(-1) - logits.amin(-1)) / 2


def row_bound(half_range: ArrayLike) -> Float64[np.ndarray, " ..."]:
    """2/(3√3)·(αω)²: no row error of (3) is larger, for any N; attained as αω → 0."""
    return np.asarray(ROW_CONSTANT * np.square(np.asarray(half_range, dtype=float)))


def entry_bound(half_range: ArrayLike) -> Float64[np.ndarray, " ..."]:
    """e^{2αω} − 1 − 2αω: no N·|A − (3)| is larger; attained for every αω as N → ∞."""
    twice = 2 * np.asarray(half_range, dtype=float)
    return np.asarray(np.expm1(twice) - twice)


def gaussian_row_error(sigma: float) -> float:
    """E|e^{z−σ²/2} − 1 − z| for z ~ N(0, σ²): row error of (3) for many keys with Gaussian logits.

    The two zeros of the integrand split it into normal probabilities; E[e^{z−σ²/2}; z < a] is Φ(a/σ − σ).

    Raises:
        ValueError: ``sigma`` is not positive.
    """
    if sigma <= 0:
        raise ValueError(f"sigma {sigma} must be positive")

    def gap(z: float) -> float:
        return math.exp(z - sigma**2 / 2) - 1 - z

    low, high = (brentq(gap, a, b) for a, b in ((-1.0, 0.0), (0.0, sigma**2 + 4.0)))

    def below(a: float) -> float:  # E[(1 + z − e^{z−σ²/2}); z < a]
        u = a / sigma
        return float(norm.cdf(u) - sigma * norm.pdf(u) - norm.cdf(u - sigma))

    return 2 * (below(high) - below(low))


def opposite_groups(tokens: int, share: float) -> Float64[Tensor, " {tokens}"]:
    """Cosines +1 for round(``share``·tokens) of them and −1 for the others; at least one each."""
    ones = min(max(round(share * tokens), 1), tokens - 1)
    cosines = -torch.ones(tokens, dtype=torch.float64)
    cosines[:ones] = 1.0
    return cosines

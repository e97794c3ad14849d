"""The effective rank of attention near consensus."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import ArrayLike

from lib.dynamics.clouds import Tokens, unit


def covariance_rank(x: Tokens) -> tuple[float, float]:
    """(1 − R², r_Σ): trace of the covariance of the directions and exp of the entropy of its spectrum."""
    u = unit(x)
    centred = u - u.mean(0)
    values = torch.linalg.svdvals(centred).square() / len(u)
    q = values / values.sum()
    return float(values.sum()), math.exp(float(-torch.xlogy(q, q).sum()))


def near_collapse_rank(delta: ArrayLike, covariance_rank: ArrayLike) -> Float64[np.ndarray, " ..."]:
    """r_eff = exp[ln(1+δ) + δ/(1+δ)·ln(r_Σ/δ)], δ = β(1−R²): attention near consensus. Source: chapter 8.

    Exact for the spectrum (1, δq) with exp(entropy of q) = r_Σ; an asymptotic law for real attention.
    """
    d, r = np.asarray(delta, dtype=float), np.asarray(covariance_rank, dtype=float)
    return np.asarray(np.exp(np.log1p(d) + d / (1 + d) * np.log(r / d)))

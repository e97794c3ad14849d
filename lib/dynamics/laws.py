"""Closed laws of collapse without merging. The source of each is the chapter that derives it."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from jaxtyping import Float64


def self_share(tokens: float, beta: float, cosine: float) -> float:
    """μ = (e^β − e^{βγ})/(e^β + (N−1)e^{βγ}): self-attention in excess of the mean, equiangular tokens.

    ``tokens`` N ≥ 1 (need not be whole), ``cosine`` γ. Source: chapter 9.
    """
    away = math.exp(-beta * (1 - cosine))
    return -math.expm1(-beta * (1 - cosine)) / (1 + (tokens - 1) * away)


def odds_law(
    tokens: float,
    beta: float,
    step: float,
    layers: int,
    cosine: float = 0.0,
    norm: Literal["post", "pre"] = "post",
) -> Float64[np.ndarray, " {layers}+1"]:
    """Exact odds R²/(1−R²) at layers 0…``layers`` for equiangular tokens with initial pairwise ``cosine``.

    odds' = odds·((r+h)/(r+hμ))² with r = |z|: 1 for post-LN, growing for pre-LN (from 1). Any N, h, β.
    V = I. Source: chapter 9.
    """
    r2 = (1 + (tokens - 1) * cosine) / tokens
    common, deviation, odds = math.sqrt(r2), math.sqrt(1 - r2), [r2 / (1 - r2)]
    for _ in range(layers):
        length = math.hypot(common, deviation)
        if norm == "post":
            common, deviation, length = common / length, deviation / length, 1.0
        share = common**2 / (common**2 + deviation**2)
        mu = self_share(tokens, beta, (tokens * share - 1) / (tokens - 1))
        common *= 1 + step / length
        deviation *= 1 + step * mu / length
        odds.append((common / deviation) ** 2)
    return np.array(odds)


def collapse_layers(
    tokens: float, beta: float, step: float, cosine: float, spread: float = 0.05, limit: int = 10**7
) -> float:
    """Fractional number of post-LN layers until 1 − R² = ``spread``, by the odds law; inf beyond ``limit``.

    ``tokens`` N > 1 need not be whole, so that N/d can be asked for. Source: chapter 9.
    """
    r2 = (1 + (tokens - 1) * cosine) / tokens
    log_odds, target = math.log(r2 / (1 - r2)), math.log((1 - spread) / spread)
    for layer in range(limit):
        share = 1 / (1 + math.exp(-log_odds))
        mu = self_share(tokens, beta, (tokens * share - 1) / (tokens - 1))
        gain = 2 * math.log((1 + step) / (1 + step * mu))
        if log_odds + gain >= target:
            return layer + max(0.0, target - log_odds) / gain
        log_odds += gain
    return math.inf


def dilution_threshold(beta: float, cosine: float) -> float:
    """N* = e^{β(1−γ)}: below, self-attention dominates and τ ∝ 1/N; above, τ is N-free. Source: chapter 9."""
    return math.exp(beta * (1 - cosine))


def terminal_rate(step: float) -> float:
    """2 ln(1+h): decay rate of 1 − R² per post-LN layer near collapse, V = I, any β, N. Source: chapter 5."""
    return 2 * math.log1p(step)

"""Closed laws of collapse without merging, and how the number of tokens enters: dilution of self-attention.

The source of each is the chapter that derives it; of dilution, chapter 9.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from jaxtyping import Float64
from scipy.integrate import quad


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


def dilution_layers(tokens: float, beta: float, step: float, cosine: float, spread: float = 0.05) -> float:
    """Post-LN layers until 1 − R² = ``spread``, as a diluted part plus a part that many tokens remove.

    τ = Λ/(2 ln(1+h)) + (1+h)/(2h)·J with Λ the log-odds to travel and
    J = ∫ (e^{β(1−γ)} − 1)/((1+(N−1)γ)(1−γ)) dγ. Exact for h → 0; the odds law itself for β = 0.
    """
    return _travel(tokens, cosine, spread) / (2 * math.log1p(step)) + (1 + step) / (2 * step) * _held_up(
        tokens, beta, cosine, spread
    )


def crossover_tokens(beta: float, step: float, cosine: float, spread: float = 0.05) -> float:
    """N_x: the token count at which holding up by self-attention doubles the collapse time.

    τ(N) ≈ τ_∞(1 + N_x/N) for Nγ ≫ 1, so that thinning distinct tokens by d changes τ by
    (N + d·N_x)/(N + N_x). Needs ``cosine`` > 0.

    Raises:
        ValueError: ``cosine`` is not positive; then τ grows like ln N as well and there is no such number.
    """
    if cosine <= 0:
        raise ValueError(f"cosine {cosine} must be positive; for orthogonal tokens use dilution_layers")
    many = 1e9
    slow = (1 + step) / (2 * step) * many * _held_up(many, beta, cosine, spread)
    return slow / (_travel(many, cosine, spread) / (2 * math.log1p(step)))


def thinning_ratio(tokens: float, factor: float, crossover: float) -> float:
    """τ(N/d)/τ(N) = (N + d·N_x)/(N + N_x) when ``factor`` d of distinct tokens are thinned out."""
    return (tokens + factor * crossover) / (tokens + crossover)


def _travel(tokens: float, cosine: float, spread: float) -> float:
    start = (1 + (tokens - 1) * cosine) / ((tokens - 1) * (1 - cosine))  # odds
    return math.log((1 - spread) / spread / start)


def _held_up(tokens: float, beta: float, cosine: float, spread: float) -> float:
    end = (tokens * (1 - spread) - 1) / (tokens - 1)

    def density(g: float) -> float:
        return float(np.expm1(beta * (1 - g))) / ((1 + (tokens - 1) * g) * (1 - g))

    return float(quad(density, cosine, end, limit=200)[0])

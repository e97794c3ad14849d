"""How the number of tokens enters collapse time: dilution of self-attention, closed form.

Source: chapter 9.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.integrate import quad


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

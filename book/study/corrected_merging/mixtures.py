"""Merging one redundant cluster among many unique tokens: collapse time without a fit. Source: chapter 9."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64
from scipy.integrate import solve_ivp

from book.study.merging_laws import saturation_strength, unique_share


def mixture_layers(
    m: float,
    unique: float,
    destinations: float,
    jitter: float,
    tokens: int,
    step: float,
    *,
    size_bias: bool = False,
    spread: float = 0.05,
) -> float:
    """Layers until 1 − R² = ``spread`` (all tokens count alike) when a share ``m`` is merged in every layer.

    A share ``unique`` q of N = ``tokens`` tokens is orthogonal to everything; the others have pairwise cosine
    1/(1+``jitter``²). ``destinations`` f as in ``BipartiteMerge``; β = 0. The two-type Gram equation
    Ė_a = E_a − Σ_b w_b(1−G⁰_ab)/E_b with the unique share w of :func:`lib.dynamics.unique_share` (q itself
    with size bias), solved in t = hℓ and read in layers of ln(1+h).
    """
    w = unique if size_bias else float(unique_share(m, unique, destinations))
    kept = tokens * (1 if size_bias else 1 - min(m, saturation_strength(destinations)))
    alone = max(w * kept, 1.0)
    apart = 1 - 1 / (1 + jitter**2)
    q, count = unique, max(unique * tokens, 1.0)

    def rate(_: float, e: Float64[np.ndarray, " 2"]) -> list[float]:
        r, u = e
        return [
            r - (1 - w) * apart / r - w / u,
            u - (1 - w) / r - w * (1 - 1 / alone) / u,
        ]

    def excess(_: float, e: Float64[np.ndarray, " 2"]) -> float:
        r, u = e
        rest = (1 - q) ** 2 * apart / r**2 + 2 * q * (1 - q) / (r * u) + q**2 * (1 - 1 / count) / u**2
        return float(rest - spread)

    excess.terminal = True  # type: ignore[attr-defined]
    solved = solve_ivp(rate, (0, 60), np.ones(2), events=excess, rtol=1e-10, atol=1e-12)
    return float(solved.t_events[0][0] / math.log1p(step))

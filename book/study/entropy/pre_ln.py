"""How the spread falls through pre-LN layers: with the identity as values, and with fresh random ones."""

from __future__ import annotations

import math

from scipy.optimize import brentq


def pre_ln_spread(layer: float, step: float, r2_start: float) -> float:
    """1 − R² after ``layer`` pre-LN layers with V = I: Ψ(b) = Ψ(b₀) + hℓ, so → (D/hℓ)². Source: chapter 5.

    Ψ(b) = √(b²+D²) + D ln(b/(D+√(b²+D²))), with D² = 1 − R₀² and b₀ = R₀. Small h, β = 0.
    """
    d = math.sqrt(1 - r2_start)

    def psi(b: float) -> float:
        length = math.hypot(b, d)
        return length + d * math.log(b / (d + length))

    goal = psi(math.sqrt(r2_start)) + step * layer
    common = brentq(lambda b: psi(b) - goal, 1e-300, goal + 10.0 + math.sqrt(r2_start), xtol=1e-14)
    return float(d**2 / (d**2 + common**2))


def pre_ln_random_spread(layer: float, step: float, r2_start: float) -> float:
    """1 − R² = 1/(1+y) after ``layer`` pre-LN layers with fresh random V: y+ln y = y₀+ln y₀+κℓ.

    κ = h²/(1−R₀²), y = odds, β = 0; the solution is Lambert's W, and 1 − R² → 1/(κℓ). Source: chapter 5.
    """
    start = r2_start / (1 - r2_start)
    goal = start + math.log(start) + step**2 / (1 - r2_start) * layer
    y = brentq(lambda q: q + math.log(q) - goal, 1e-300, max(goal, 1.0) + 1.0, xtol=1e-14)
    return float(1 / (1 + y))

"""Random-weight pre-LN networks: how common and deviating parts grow, without any fit. Source: chapter 9."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64
from scipy.special import erf


def gelu_moments(correlation: float, nodes: int = 80) -> tuple[float, float]:
    """(m₂, f(ρ)): E[φ(Z)²] and E[φ(Z)φ(Z′)]/m₂ for GELU φ and Gaussians of correlation ρ."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    w = w / w.sum()
    second = float(w @ _gelu(x) ** 2)
    rho = min(max(correlation, 0.0), 1.0)
    other = rho * x[:, None] + math.sqrt(1 - rho**2) * x[None]
    return second, float((w * _gelu(x)) @ _gelu(other) @ w) / second


def random_network_spread(
    r2_start: float, blocks: int, scale: float, mlp: bool = True
) -> Float64[np.ndarray, " {blocks}+1"]:
    """1 − R² after 0…``blocks`` blocks (frame, global) with random weights and LayerScale ``scale``.

    Attention adds g²R² to the common power C; the MLP adds g²m₂f(R²) to C and g²m₂(1−f) to the deviation D.
    Assumes attention near its mean over the tokens it sees, so β small or tokens alike.
    """
    common, deviation = r2_start, 1 - r2_start
    spreads = [deviation]
    for _ in range(blocks):
        for _ in range(2):
            common += scale**2 * common / (common + deviation)
            if mlp:
                power, kept = gelu_moments(common / (common + deviation))
                common += scale**2 * power * kept
                deviation += scale**2 * power * (1 - kept)
        spreads.append(deviation / (common + deviation))
    return np.array(spreads)


def _gelu(x: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
    return np.asarray(0.5 * x * (1 + erf(x / math.sqrt(2))))

"""Closed laws of collapse without merging. The source of each is the chapter that derives it."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from scipy.special import hyp2f1


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
    tokens: float,
    beta: float,
    step: float,
    cosine: float,
    spread: float = 0.05,
    limit: int = 10**7,
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


def layers_per_log_token(step: float, width: int) -> float:
    """1/(2 ln(1+h(1−1/n))): extra layers per unit of ln N for a uniform cloud, small β. Source: chapter 4."""
    return 1 / (2 * math.log1p(step * (1 - 1 / width)))


def logistic_spread(times: ArrayLike, r_start: float, rate: float = 2.0) -> Float64[np.ndarray, " ..."]:
    """1 − R² for R² = R₀²e^{kt}/(1−R₀²+R₀²e^{kt}). Source: chapter 4.

    k = ``rate``: 2 for equiangular tokens and for n → ∞, 1 for the Möbius family at n = 2.
    """
    growth = r_start**2 * np.exp(rate * np.asarray(times, dtype=float))
    return np.asarray((1 - r_start**2) / (1 - r_start**2 + growth))


def mobius_mean(radius: ArrayLike, width: float) -> Float64[np.ndarray, " ..."]:
    """R = f_n(r) = 2(n−1)/n·r·₂F₁(1−n/2, 1; 1+n/2; r²) for the Poisson kernel. Source: chapter 4."""
    r = np.asarray(radius, dtype=float)
    return np.asarray(2 * (width - 1) / width * r * hyp2f1(1 - width / 2, 1, 1 + width / 2, r * r), float)


def mobius_solution(times: ArrayLike, radius_start: float, width: float) -> Float64[np.ndarray, " times"]:
    """R(t) of the β → 0 mean-field equation, started from a Poisson kernel: ṙ = ½(1−r²)f_n(r).

    ``times`` (T,) increasing from 0, unit speed (t = hℓ); r₀ = ``radius_start`` in (0, 1),
    n = ``width``. Source: chapter 4.
    """
    t = np.asarray(times, dtype=float)

    def rate(_: float, u: Float64[np.ndarray, " one"]) -> Float64[np.ndarray, " one"]:
        return mobius_mean(np.tanh(u), width) / 2

    start = [math.atanh(radius_start)]  # r = tanh u keeps the precision of 1 − r
    solved = solve_ivp(rate, (t[0], t[-1]), start, t_eval=t, rtol=1e-10, atol=1e-12)
    return mobius_mean(np.tanh(solved.y[0]), width)


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


def near_collapse_rank(delta: ArrayLike, covariance_rank: ArrayLike) -> Float64[np.ndarray, " ..."]:
    """r_eff = exp[ln(1+δ) + δ/(1+δ)·ln(r_Σ/δ)], δ = β(1−R²): attention near consensus. Source: chapter 8.

    Exact for the spectrum (1, δq) with exp(entropy of q) = r_Σ; an asymptotic law for real attention.
    """
    d, r = np.asarray(delta, dtype=float), np.asarray(covariance_rank, dtype=float)
    return np.asarray(np.exp(np.log1p(d) + d / (1 + d) * np.log(r / d)))


def hierarchy_law(
    common: float, frame: float, token: float, step: float, blocks: int, norm: Literal["post", "pre"] = "post"
) -> Float64[np.ndarray, "{blocks}+1 3"]:
    """Shares of the common, frame and token parts under frame and global attention in turn.

    β = 0, V = I, exact: frame layers stretch common and frame parts by 1 + h/r, global layers the common part
    only, r = |z| (1 for post-LN). Source: chapter 9.
    """
    parts = np.array([common, frame, token], dtype=float)
    shares = [parts**2 / (parts**2).sum()]
    for _ in range(blocks):
        for stretched in (2, 1):
            length = float(np.sqrt((parts**2).sum()))
            if norm == "post":
                parts, length = parts / length, 1.0
            parts[:stretched] *= 1 + step / length
        shares.append(parts**2 / (parts**2).sum())
    return np.array(shares)

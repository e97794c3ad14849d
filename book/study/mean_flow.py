"""The mean-field flow of small β on the sphere, the velocities beside it, and its closed solutions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp
from scipy.special import hyp2f1
from torch import Tensor

from lib.dynamics.clouds import Tokens, Weights, uniform_cloud, unit
from lib.dynamics.particles import attend
from lib.dynamics.statistics import spread


@dataclass(frozen=True)
class Flow:
    """Times, 1 − R² at those times, and the tokens at the end."""

    times: Float64[Tensor, " times"]
    spread: Float[Tensor, " times"]
    tokens: Tokens

    @property
    def R(self) -> Float[Tensor, " times"]:
        """Mean length at every time."""
        return (1 - self.spread).clamp_min(0).sqrt()


def tangent(x: Tokens, y: Float[Tensor, "*rows width"]) -> Tokens:
    """P_x y = y − ⟨x, y⟩x row by row; ``x`` unit, ``y`` one row or as many as ``x``."""
    y = y.expand_as(x)
    return y - (x * y).sum(-1, keepdim=True) * x


def mean_field_velocity(x: Tokens, mass: Weights | None = None) -> Tokens:
    """P_x M, the β → 0 velocity of the attention residual: gradient *ascent* of ½|M|². Source: chapter 4."""
    return tangent(x, x.mean(0) if mass is None else mass @ x)


def softmax_velocity(x: Tokens, beta: float, mass: Weights | None = None) -> Tokens:
    """P_x Attn_β(x), the velocity per unit t = hℓ at any β, for unit tokens ``x``. Source: chapter 4."""
    return tangent(x, attend(x, x, x, beta, mass))


def first_order_velocity(x: Tokens, beta: float) -> Tokens:
    """P_x[M + β(C − MMᵀ)x], the velocity up to O(β²), for unit tokens ``x``. Source: chapter 4."""
    m = x.mean(0)
    covariance = x.T @ x / len(x) - torch.outer(m, m)
    return tangent(x, m + beta * x @ covariance)


def mean_flow(
    tokens: Tokens,
    time: float,
    *,
    sign: int = 1,
    speed: float = 1.0,
    step: float = 0.02,
    mass: Weights | None = None,
) -> Flow:
    """Integrate ẋ = sign·speed·P_x M by Runge–Kutta 4 up to ``time``.

    ``sign=+1`` is what attention does; ``sign=-1`` with ``speed=α`` is Eq. (4) as printed.

    Raises:
        ValueError: ``sign`` is not ±1.

    Source: chapter 4.
    """
    if sign not in (1, -1):
        raise ValueError(f"sign {sign} must be +1 (attention) or -1 (Eq. (4) as printed)")
    rate = sign * speed
    x, count = unit(tokens), max(1, round(time / step))
    dt, spreads = time / count, [spread(x, mass)]
    for _ in range(count):
        k1 = rate * mean_field_velocity(x, mass)
        k2 = rate * mean_field_velocity(x + dt / 2 * k1, mass)
        k3 = rate * mean_field_velocity(x + dt / 2 * k2, mass)
        k4 = rate * mean_field_velocity(x + dt * k3, mass)
        x = unit(x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
        spreads.append(spread(x, mass))
    return Flow(torch.linspace(0, time, count + 1, dtype=torch.float64), torch.stack(spreads).cpu(), x)


def poisson_cloud(tokens: int, width: int, radius: float, seed: int) -> Float64[Tensor, "{tokens} {width}"]:
    """Draws from the Poisson kernel ((1−r²)/|x−r e₁|²)^(n−1) on the unit sphere, r = ``radius``.

    A uniform cloud moved by the Möbius transformation that sends 0 to r e₁.

    Raises:
        ValueError: ``radius`` lies outside [0, 1).

    Source: chapter 4.
    """
    if not 0 <= radius < 1:
        raise ValueError(f"radius {radius} must lie in [0, 1)")
    y = uniform_cloud(tokens, width, seed)
    y[:, 0] += radius
    x = (1 - radius**2) * y / y.square().sum(-1, keepdim=True)
    x[:, 0] += radius
    return unit(x)


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


def logistic_spread(times: ArrayLike, r_start: float, rate: float = 2.0) -> Float64[np.ndarray, " ..."]:
    """1 − R² for R² = R₀²e^{kt}/(1−R₀²+R₀²e^{kt}). Source: chapter 4.

    k = ``rate``: 2 for equiangular tokens and for n → ∞, 1 for the Möbius family at n = 2.
    """
    growth = r_start**2 * np.exp(rate * np.asarray(times, dtype=float))
    return np.asarray((1 - r_start**2) / (1 - r_start**2 + growth))


def layers_per_log_token(step: float, width: int) -> float:
    """1/(2 ln(1+h(1−1/n))): extra layers per unit of ln N for a uniform cloud, small β. Source: chapter 4."""
    return 1 / (2 * math.log1p(step * (1 - 1 / width)))

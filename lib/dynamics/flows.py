"""Continuous-time flows on the sphere: the small-β mean-field flow of either sign, softmax velocities."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from lib.dynamics.clouds import Tokens, Weights, unit
from lib.dynamics.particles import Layer, attend, attraction
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


def alternate(tokens: Tokens, frames: int, layer: Layer, blocks: int) -> Float[Tensor, "{blocks}+1 3"]:
    """Frame attention then global attention, ``blocks`` times (V = I), on frame-major ``tokens``.

    Returns the shares of the common, frame and token components of the directions, before every
    block and at the end; they sum to one.

    Raises:
        ValueError: the tokens do not divide into ``frames`` frames.
    """
    if len(tokens) % frames:
        raise ValueError(f"{len(tokens)} tokens do not divide into {frames} frames")
    z, shares = tokens, [component_shares(tokens, frames)]
    for _ in range(blocks):
        for local in (True, False):
            u = unit(z)
            if local:
                parts = [attraction(part, layer.beta) for part in u.chunk(frames)]
                update = torch.cat(parts)
            else:
                update = attraction(u, layer.beta)
            z = (z if layer.norm == "pre" else u) + layer.step * update
        shares.append(component_shares(z, frames))
    return torch.stack(shares)


def component_shares(x: Tokens, frames: int) -> Float[Tensor, " 3"]:
    """Squared lengths of the directions' common mean, frame means about it, and tokens about those."""
    u = unit(x)
    common = u.mean(0)
    by_frame = u.reshape(frames, -1, u.shape[-1])
    means = by_frame.mean(1)
    frame = (means - common).square().sum(-1).mean()
    token = (by_frame - means[:, None]).square().sum(-1).mean()
    return torch.stack([common.square().sum(), frame, token])

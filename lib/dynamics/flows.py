"""Continuous-time flows on the sphere: the small-β mean-field flow of either sign, softmax velocities."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lib.dynamics.clouds import unit
from lib.dynamics.particles import Layer, attend, attraction
from lib.dynamics.statistics import spread


@dataclass(frozen=True)
class Flow:
    """Times (T,), 1 − R² at those times (T,), and the tokens at the end (N, n)."""

    times: Tensor
    spread: Tensor
    tokens: Tensor

    @property
    def R(self) -> Tensor:
        """Mean length at every time."""
        return (1 - self.spread).clamp_min(0).sqrt()


def tangent(x: Tensor, y: Tensor) -> Tensor:
    """P_x y = y − ⟨x, y⟩x row by row; ``x`` (N, n) unit, ``y`` (N, n) or (n,)."""
    y = y.expand_as(x)
    return y - (x * y).sum(-1, keepdim=True) * x


def mean_field_velocity(x: Tensor, mass: Tensor | None = None) -> Tensor:
    """P_x M, the β → 0 velocity of the attention residual: gradient *ascent* of ½|M|² (chapter 4). (N, n)."""
    return tangent(x, x.mean(0) if mass is None else mass @ x)


def softmax_velocity(x: Tensor, beta: float, mass: Tensor | None = None) -> Tensor:
    """P_x Attn_β(x), the velocity per unit t = hℓ at any β, for unit tokens ``x`` (N, n). Chapter 4."""
    return tangent(x, attend(x, x, x, beta, mass))


def first_order_velocity(x: Tensor, beta: float) -> Tensor:
    """P_x[M + β(C − MMᵀ)x], the velocity up to O(β²) (chapter 4), for unit tokens ``x`` (N, n)."""
    m = x.mean(0)
    covariance = x.T @ x / len(x) - torch.outer(m, m)
    return tangent(x, m + beta * x @ covariance)


def mean_flow(
    tokens: Tensor,
    time: float,
    *,
    sign: int = 1,
    speed: float = 1.0,
    step: float = 0.02,
    mass: Tensor | None = None,
) -> Flow:
    """Integrate ẋ = sign·speed·P_x M by Runge–Kutta 4 up to ``time``.

    ``sign=+1`` is what attention does; ``sign=-1`` with ``speed=α`` is Eq. (4) as printed (chapter 4).

    Raises:
        ValueError: ``sign`` is not ±1.
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


def alternate(tokens: Tensor, frames: int, layer: Layer, blocks: int) -> Tensor:
    """Frame attention then global attention, ``blocks`` times (V = I), on frame-major ``tokens`` (N, n).

    Returns (blocks+1, 3): shares of the common, frame and token components of the directions, before every
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


def component_shares(x: Tensor, frames: int) -> Tensor:
    """(3,) squared lengths of the directions' common mean, frame means about it, and tokens about those."""
    u = unit(x)
    common = u.mean(0)
    by_frame = u.reshape(frames, -1, u.shape[-1])
    means = by_frame.mean(1)
    frame = (means - common).square().sum(-1).mean()
    token = (by_frame - means[:, None]).square().sum(-1).mean()
    return torch.stack([common.square().sum(), frame, token])

"""Linear stability of the mean-field flow: rates of spherical harmonics at any β, and of stationary clouds.

The flow is ẋ = P_x ∇(1/β) log ∫ e^{β⟨x,y⟩}dρ(y) on the sphere of dimension n − 1 (chapter 4). A positive rate
grows. The sign of Eq. (4) as printed turns every rate of the small-β flow into its negative.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float64
from scipy.special import eval_jacobi, ive, roots_legendre
from torch import Tensor

from book.study.mean_flow import mean_field_velocity, softmax_velocity, tangent
from lib.dynamics.clouds import Tokens, unit


def harmonic_rate(degree: int, width: int, beta: float) -> float:
    """Growth rate k(k+n−2)/β · I_{k+ν}(β)/I_ν(β), ν = n/2 − 1, of harmonics of ``degree`` k about uniform.

    ``width`` n ≥ 2. β = 0 gives the limit: 1 − 1/n for k = 1 and 0 for every other degree.

    Raises:
        ValueError: a negative ``degree`` or ``beta``.

    Source: chapter 4 (Funk–Hecke).
    """
    if degree < 0 or beta < 0:
        raise ValueError(f"degree {degree} and beta {beta} must both be at least 0")
    if beta == 0:
        return 1 - 1 / width if degree == 1 else 0.0
    order = width / 2 - 1
    return float(degree * (degree + width - 2) / beta * ive(degree + order, beta) / ive(order, beta))


def sphere_grid(
    width: int, nodes: int
) -> tuple[Float64[Tensor, "points {width}"], Float64[Tensor, " points"]]:
    """Points on the circle or on S², and masses that sum to one; exact for low harmonics.

    ``width`` 2: K = 2·``nodes`` equal angles. ``width`` 3: ``nodes`` Gauss–Legendre heights along e₁, each
    with 2·``nodes`` equal angles, exact up to degree 2·``nodes`` − 1.

    Raises:
        ValueError: another ``width``.
    """
    angles = torch.arange(2 * nodes, dtype=torch.float64) * (math.pi / nodes)
    circle = torch.stack([angles.cos(), angles.sin()], -1)
    if width == 2:
        return circle, torch.full((2 * nodes,), 0.5 / nodes, dtype=torch.float64)
    if width != 3:
        raise ValueError(f"width {width} must be 2 (circle) or 3 (the sphere in space)")
    height, weight = (torch.from_numpy(a) for a in roots_legendre(nodes))
    radius = (1 - height**2).sqrt()
    around = radius[:, None, None] * circle  # (nodes, 2·nodes, 2)
    points = torch.cat([height[:, None, None].expand(-1, 2 * nodes, 1), around], -1)
    return points.reshape(-1, 3), (weight / (4 * nodes)).repeat_interleave(2 * nodes)


def harmonic_response(
    degree: int, width: int, beta: float, *, nodes: int = 32, amplitude: float = 1e-5
) -> float:
    """Measured growth rate: shift uniformly spread tokens along ∇Y_k and see how fast attention moves them.

    Tokens on ``sphere_grid(width, nodes)`` are displaced by ``amplitude``·∇Y, Y zonal of ``degree`` ≥ 1;
    returns the component of the exact softmax velocity along the displacement, divided by it.
    """
    x, mass = sphere_grid(width, nodes)
    shape = (width - 3) / 2  # Jacobi (a, a) polynomials are the zonal harmonics
    slope = eval_jacobi(degree - 1, shape + 1, shape + 1, x[:, 0].numpy())
    axis = torch.zeros(width, dtype=torch.float64)
    axis[0] = 1.0
    field = torch.from_numpy(slope)[:, None] * tangent(x, axis)  # ∇Y up to a factor
    field = amplitude * field / field.norm(dim=-1).max()
    velocity = softmax_velocity(unit(x + field), beta, mass) - softmax_velocity(x, beta, mass)
    return float((mass @ (velocity * field).sum(-1)) / (mass @ field.square().sum(-1)))


def linear_rates(tokens: Tokens, *, sign: int = 1, shift: float = 1e-5) -> Float64[np.ndarray, " rates"]:
    """Real parts, descending, of the N(n−1) eigenvalues of ẋ = sign·P_x M linearised at the N ``tokens``.

    Central differences of the velocity along an orthonormal tangent basis; ``tokens`` unit and stationary.

    Raises:
        ValueError: ``tokens`` is not stationary.
    """
    still = float(mean_field_velocity(tokens).abs().max())
    if still > 1e-9:
        raise ValueError(f"tokens move with velocity {still:.2g}; give a stationary cloud")
    basis = [torch.linalg.svd(x[None])[2][1:] for x in tokens]  # (n−1, n) each, orthogonal to x
    columns = []
    for index in range(len(tokens)):
        for direction in basis[index]:
            ahead, behind = tokens.clone(), tokens.clone()
            ahead[index] += shift * direction
            behind[index] -= shift * direction
            change = mean_field_velocity(unit(ahead)) - mean_field_velocity(unit(behind))
            columns.append(torch.cat([b @ c for b, c in zip(basis, change / (2 * shift), strict=True)]))
    rates = torch.linalg.eigvals(sign * torch.stack(columns, -1)).real
    return np.sort(rates.numpy())[::-1]

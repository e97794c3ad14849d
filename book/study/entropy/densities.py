"""Entropy of token densities on the sphere: zonal densities at any β, the Poisson family, and particles.

Densities are taken with respect to the uniform probability measure, so that the uniform density is 1 and its
entropy 0. Source: chapter 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.spatial import cKDTree
from scipy.special import digamma, eval_jacobi, gammaln, ive, roots_jacobi

from lib.dynamics.clouds import Tokens

Array = Float64[np.ndarray, " nodes"]


@dataclass(frozen=True)
class ZonalDensity:
    """A positive density ρ(s) of s = ⟨x, e⟩ on the unit sphere in R^``width``.

    ``density`` is normalised here and resolved up to ``modes`` harmonics. Integrals are
    Gauss–Jacobi sums over ``nodes`` heights.
    """

    width: int
    density: Callable[[Array], Array]
    modes: int = 96
    nodes: int = 256

    @property
    def grid(self) -> tuple[Array, Array]:
        """Heights s and weights of the uniform measure, summing to one."""
        shape = (self.width - 3) / 2
        s, w = roots_jacobi(self.nodes, shape, shape)
        return s, w / w.sum()

    def profile(self, beta: float = math.inf) -> tuple[Array, Array, Array]:
        """ρ_β(s) up to a factor, and its first two derivatives, on the grid; β = ∞ gives ρ itself.

        The kernel e^{β⟨x,y⟩} multiplies harmonics of degree k by I_{k+ν}(β)/I_ν(β), ν = n/2 − 1.
        """
        s, w = self.grid
        shape, order = (self.width - 3) / 2, self.width / 2 - 1
        rho = self.density(s)
        rho = rho / (w @ rho)
        total = np.zeros((3, len(s)))
        for k in range(self.modes):
            basis = [_jacobi(k, shape, s, derivative) for derivative in range(3)]
            part = (w @ (rho * basis[0])) / (w @ basis[0] ** 2)
            kept = 1.0 if math.isinf(beta) else ive(k + order, beta) / ive(order, beta)
            total += kept * part * np.array(basis)
        return total[0], total[1], total[2]

    @property
    def mean_length(self) -> float:
        """R = |∫ x ρ|."""
        s, w = self.grid
        return abs(float(w @ (s * self.profile()[0])))

    @property
    def fisher_information(self) -> float:
        """I(ρ) = ∫ ρ|∇ log ρ|²."""
        s, w = self.grid
        rho, slope, _ = self.profile()
        return float(w @ ((1 - s**2) * slope**2 / rho))

    def entropy_rate(self, beta: float) -> float:
        """dH/dt = −(1/β)∫ρ⟨∇log ρ, ∇log ρ_β⟩ under attention at inverse temperature ``beta`` > 0."""
        s, w = self.grid
        slope = self.profile()[1]
        blurred, blurred_slope, _ = self.profile(beta)
        return -float(w @ ((1 - s**2) * slope * blurred_slope / blurred)) / beta

    def entropy_rate_by_transport(self, beta: float, *, sign: int = 1, step: float = 1e-4) -> float:
        """dH/dt by transporting ρ for ±``step`` with ∂_tρ = −div(ρv) and differencing H = −∫ρ log ρ.

        v = sign·∇(1/β) log ρ_β: an independent way to the same number, without integration by parts.
        """
        s, w = self.grid
        rho, slope, _ = self.profile()
        blurred, first, second = self.profile(beta)
        gradient = sign * first / (beta * blurred)  # φ' of the potential φ = (1/β) log ρ_β
        curvature = sign * (second / blurred - (first / blurred) ** 2) / beta
        laplacian = (1 - s**2) * curvature - (self.width - 1) * s * gradient
        change = -(rho * laplacian + (1 - s**2) * slope * gradient)

        def entropy(q: Array) -> float:
            return -float(w @ (q * np.log(q)))

        return (entropy(rho + step * change) - entropy(rho - step * change)) / (2 * step)


def poisson_entropy(radius: float, width: int, nodes: int = 400) -> float:
    """H of the Poisson kernel ((1−r²)/|x−r e|²)^(n−1), by direct quadrature of −ρ log ρ over the angle.

    ``radius`` r in [0, 1), ``width`` n; relative to the uniform measure, so 0 at r = 0 and negative else.
    """
    angle, weight = _angles(radius, width, nodes)
    rho = ((1 - radius**2) / (1 + radius**2 - 2 * radius * np.cos(angle))) ** (width - 1)
    return -float(weight @ (rho * np.log(rho)))


def neighbour_entropy(tokens: Tokens, neighbour: int = 4) -> float:
    """Entropy of the distribution that unit ``tokens`` were drawn from (Kozachenko–Leonenko estimate).

    From the chord to the ``neighbour``-th nearest token, taken as flat; relative to the uniform measure.
    """
    x = tokens.double().numpy()
    count, dimension = len(x), x.shape[1] - 1
    distance = cKDTree(x).query(x, neighbour + 1)[0][:, -1]
    ball = dimension / 2 * math.log(math.pi) - gammaln(dimension / 2 + 1)
    area = math.log(2) + (dimension + 1) / 2 * math.log(math.pi) - gammaln((dimension + 1) / 2)
    estimate = digamma(count) - digamma(neighbour) + ball + dimension * np.log(distance).mean()
    return float(estimate - area)


def _angles(radius: float, width: int, nodes: int) -> tuple[Array, Array]:
    # Nodes crowd where the kernel peaks: tan(θ/2) = (1−r)/(1+r)·tan(φ/2), the boost itself.
    x, w = np.polynomial.legendre.leggauss(nodes)
    even = (x + 1) * math.pi / 2
    ratio = (1 - radius) / (1 + radius)
    angle = 2 * np.arctan(ratio * np.tan(even / 2))
    stretch = ratio / (np.cos(even / 2) ** 2 + ratio**2 * np.sin(even / 2) ** 2)
    surface = math.exp(gammaln(width / 2) - gammaln((width - 1) / 2)) / math.sqrt(math.pi)
    return angle, w * (math.pi / 2) * stretch * surface * np.sin(angle) ** (width - 2)


def _jacobi(degree: int, shape: float, s: Array, derivative: int) -> Array:
    # d/ds P_k^{(a,a)} = (k+2a+1)/2 · P_{k−1}^{(a+1,a+1)}
    factor = 1.0
    for _ in range(derivative):
        factor *= (degree + 2 * shape + 1) / 2
        degree, shape = degree - 1, shape + 1
    return factor * eval_jacobi(degree, shape, shape, s) if degree >= 0 else np.zeros_like(s)

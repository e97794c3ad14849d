"""What is measured on a cloud of tokens: mean length, spread, spectra and entropies of its attention."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lib.dynamics.clouds import unit


def spread(x: Tensor, mass: Tensor | None = None) -> Tensor:
    """1 − R² of the directions of ``x`` (N, n), as the mass-weighted variance: exact also when it is tiny.

    ``mass`` (N,) sums to one (default: uniform). Returns a 0-d tensor.
    """
    u = unit(x)
    p = torch.full_like(u[:, 0], 1 / len(u)) if mass is None else mass
    return p @ (u - p @ u).square().sum(-1)


def mean_length(x: Tensor, mass: Tensor | None = None) -> Tensor:
    """R = |Σ p_i x_i/|x_i||, a 0-d tensor."""
    u = unit(x)
    return (u.mean(0) if mass is None else mass @ u).norm()


@dataclass(frozen=True)
class AttentionSpectrum:
    """Singular values of a softmax attention matrix and what is read off them (natural logarithms)."""

    singular_values: Tensor  # (N,) descending
    row_entropy: float  # mean entropy of a row, between 0 and ln N

    @property
    def entropy(self) -> float:
        """−Σ p ln p of p = σ/Σσ, between 0 and ln N."""
        p = self.singular_values / self.singular_values.sum()
        return float(-torch.xlogy(p, p).sum())

    @property
    def effective_rank(self) -> float:
        """exp(entropy), Eq. (14)."""
        return math.exp(self.entropy)

    @property
    def stable_rank(self) -> float:
        """Σσ²/σ₁²."""
        return float(self.singular_values.square().sum() / self.singular_values[0] ** 2)


def attention_matrix(x: Tensor, beta: float) -> Tensor:
    """(N, N) row-stochastic softmax of β times the cosines of ``x`` (N, n); for small N only."""
    u = unit(x)
    return torch.softmax(beta * (u @ u.T), dim=-1)


def attention_spectrum(x: Tensor, beta: float) -> AttentionSpectrum:
    """Spectrum and row entropy of the attention of ``x`` (N, n); N up to a few thousand."""
    a = attention_matrix(x, beta)
    rows = float(-torch.xlogy(a, a).sum(-1).mean())
    return AttentionSpectrum(torch.linalg.svdvals(a), rows)


def covariance_rank(x: Tensor) -> tuple[float, float]:
    """(1 − R², r_Σ): trace of the covariance of the directions and exp of the entropy of its spectrum."""
    u = unit(x)
    centred = u - u.mean(0)
    values = torch.linalg.svdvals(centred).square() / len(u)
    q = values / values.sum()
    return float(values.sum()), math.exp(float(-torch.xlogy(q, q).sum()))

"""What is measured on a cloud of tokens: mean length, spread, spectra and entropies of its attention."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lib.dynamics.clouds import Tokens, Weights, unit


def spread(x: Tokens, mass: Weights | None = None) -> Float[Tensor, ""]:
    """1 − R² of the directions of ``x``, as the mass-weighted variance: exact also when it is tiny.

    ``mass`` sums to one (default: uniform).
    """
    u = unit(x)
    p = torch.full_like(u[:, 0], 1 / len(u)) if mass is None else mass
    return p @ (u - p @ u).square().sum(-1)


def mean_length(x: Tokens, mass: Weights | None = None) -> Float[Tensor, ""]:
    """R = |Σ p_i x_i/|x_i||."""
    u = unit(x)
    length: Tensor = (u.mean(0) if mass is None else mass @ u).norm()
    return length


@dataclass(frozen=True)
class AttentionSpectrum:
    """Singular values of a softmax attention matrix and what is read off them (natural logarithms)."""

    singular_values: Weights  # descending
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


def attention_matrix(x: Tokens, beta: float) -> Float[Tensor, "tokens tokens"]:
    """Row-stochastic softmax of β times the cosines of ``x``; for small numbers of tokens only."""
    u = unit(x)
    return torch.softmax(beta * (u @ u.T), dim=-1)


def attention_spectrum(x: Tokens, beta: float) -> AttentionSpectrum:
    """Spectrum and row entropy of the attention of ``x``, up to a few thousand tokens."""
    a = attention_matrix(x, beta)
    rows = float(-torch.xlogy(a, a).sum(-1).mean())
    return AttentionSpectrum(torch.linalg.svdvals(a), rows)

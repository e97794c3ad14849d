"""What is measured on a cloud of tokens: mean length, spread, its attention matrix."""

from __future__ import annotations

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


def attention_matrix(x: Tokens, beta: float) -> Float[Tensor, "tokens tokens"]:
    """Row-stochastic softmax of β times the cosines of ``x``; for small numbers of tokens only."""
    u = unit(x)
    return torch.softmax(beta * (u @ u.T), dim=-1)

"""Attention with nothing to say: independent Gaussian logits, and the effective rank size alone gives."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from lib.dynamics.clouds import gaussian

BULK_MEAN = 8 / (3 * math.pi)  # E x of the quarter circle √(4−x²)/π on [0, 2]
BULK_MEAN_LOG = BULK_MEAN * (2 * math.log(2) - 4 / 3)  # E x ln x
BULK_RANK = 2 * math.exp(4 / 3) / (3 * math.pi)  # r_eff/N of a matrix of independent entries


def random_attention(tokens: int, deviation: float, seed: int) -> Float64[Tensor, "{tokens} {tokens}"]:
    """Row-stochastic softmax of independent N(0, deviation²) logits."""
    return torch.softmax(deviation * gaussian(tokens, tokens, seed), dim=-1)


def random_attention_rank(tokens: float, deviation: float) -> float:
    """Effective rank of that matrix for many tokens: singular value 1 and a quarter-circle bulk.

    Entries are 1/N times lognormal variables of variance σ_A² = e^{s²} − 1 (s = ``deviation``), so that the
    bulk is σ_A/√N times the quarter circle. Source: chapter 8.
    """
    spread = math.sqrt(math.expm1(deviation**2))
    scale = spread / math.sqrt(tokens)
    total = 1 + tokens * scale * BULK_MEAN
    logs = tokens * scale * (BULK_MEAN_LOG + BULK_MEAN * math.log(scale))
    return total * math.exp(-logs / total)

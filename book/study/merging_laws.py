"""Closed laws of merging: order of accuracy, direction of the effect, delay, turning point, spectrum.

Source of all of them: chapter 9.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy.typing import ArrayLike
from torch import Tensor

from lib.dynamics.clouds import Tokens
from lib.dynamics.grouping import Groups, group_means
from lib.dynamics.particles import attend

Queries = Float[Tensor, "queries width"]
Values = Float[Tensor, "tokens channels"]


def merged_attention(
    queries: Queries, keys: Tokens, values: Values, groups: Groups, beta: float
) -> Float[Tensor, "queries channels"]:
    """Attention to merged keys and values (K groups), with size bias if ``groups`` has it.

    With size bias: exact for duplicates and O(ε²) for groups of radius ε; without: wrong at O(1).
    """
    return attend(queries, group_means(keys, groups), group_means(values, groups), beta, groups.weights)


def corrected_attention(
    queries: Queries, keys: Tokens, values: Values, groups: Groups, beta: float
) -> Float[Tensor, "queries channels"]:
    """Size-biased merging with the second-order terms of every group: error O(ε³).

    Logits gain ln s + ½β²qᵀS_g q and values β S^{vk}_g q, S the covariances within the group. Holds all
    logits and a (width, width) covariance per group: for small sizes only.
    """
    mean_k, mean_v = group_means(keys, groups), group_means(values, groups)
    dk, dv = keys - mean_k[groups.labels], values - mean_v[groups.labels]
    kk = group_means((dk[:, :, None] * dk[:, None]).flatten(1), groups).unflatten(1, (keys.shape[1], -1))
    vk = group_means((dv[:, :, None] * dk[:, None]).flatten(1), groups).unflatten(1, (values.shape[1], -1))
    quadratic = torch.einsum("qi,kij,qj->qk", queries, kk, queries)
    logits = beta * queries @ mean_k.T + groups.sizes.log() + beta**2 / 2 * quadratic
    p = torch.softmax(logits, -1)
    return p @ mean_v + beta * torch.einsum("qk,kij,qj->qi", p, vk, queries)


def renyi_delay(mass: ArrayLike, step: float | None = None) -> float:
    """½ ln(K Σp²): delay in t = hℓ when K clusters of masses p are merged without size bias.

    With ``step`` h the delay in layers, divided by ln(1+h). Additive and logarithmic.
    Near-orthogonal clusters (small R₀) and small β.
    """
    p = _shares(mass)
    delay = 0.5 * math.log(len(p) * (p**2).sum())
    return delay if step is None else delay / math.log1p(step)


def turning_strength(unique: float, destinations: float, protected: float = 0.0) -> float:
    """m* = (1−f)(1−π)(1−q): all redundant sources are merged, and distinct tokens are next."""
    return (1 - destinations) * (1 - protected) * (1 - unique)


def saturation_strength(destinations: float, protected: float = 0.0) -> float:
    """m_sat = (1−f)(1−π): no source is left to merge."""
    return (1 - destinations) * (1 - protected)


def unique_share(
    m: ArrayLike, unique: float, destinations: float, protected: float = 0.0
) -> Float64[np.ndarray, " ..."]:
    """Share of unique tokens among survivors: q/(1−m) up to m*, then (q−(m−m*))/(1−m), flat from m_sat.

    At m_sat it is q again when nothing is protected.
    """
    turning = turning_strength(unique, destinations, protected)
    strength = np.minimum(np.asarray(m, dtype=float), saturation_strength(destinations, protected))
    survivors = unique - np.maximum(strength - turning, 0.0)
    return np.asarray(survivors / (1 - strength))


def block_spectrum(
    clusters: int, copies: int, unique: int, logit: float, cross: float
) -> Float64[np.ndarray, " {clusters}+{unique}"]:
    """Singular values of attention on clusters·copies redundant and ``unique`` single tokens.

    In-cluster logit b, cross logit b·``cross``. Contrasts between clusters (clusters−1 times), between unique
    tokens (unique−1 times), and a 2×2 block; all other values are zero. Needs clusters, unique ≥ 1.
    """
    inside, outside = math.exp(logit), math.exp(logit * cross)
    tokens = clusters * copies + unique
    z_redundant = tokens * outside + (inside - outside) * copies
    z_unique = tokens * outside + (inside - outside)
    mixed = outside * math.sqrt(clusters * copies * unique)
    block = np.array(
        [
            [(clusters * copies * outside + (inside - outside) * copies) / z_redundant, mixed / z_redundant],
            [mixed / z_unique, (unique * outside + inside - outside) / z_unique],
        ]
    )
    contrasts = np.full(clusters - 1, (inside - outside) * copies / z_redundant)
    singles = np.full(unique - 1, (inside - outside) / z_unique)
    return np.concatenate([np.linalg.svd(block, compute_uv=False), contrasts, singles])


def _shares(weights: ArrayLike) -> Float64[np.ndarray, " groups"]:
    p = np.asarray(weights, dtype=float)
    return np.asarray(p / p.sum())

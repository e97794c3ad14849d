"""Merging tokens of the toy dynamics: groups, their means, copying back, and bipartite matching."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lib.dynamics.clouds import Tokens, unit


@dataclass(frozen=True)
class Groups:
    """A partition of tokens into groups: the group of every token, and sizes as floats.

    ``size_bias``: whether keys are weighted by group size (logarithm of the size added to the logits).
    """

    labels: Int64[Tensor, " tokens"]
    sizes: Float[Tensor, " groups"]
    size_bias: bool

    @property
    def weights(self) -> Float[Tensor, " groups"] | None:
        """Key weights for attention: the sizes with size bias, None (uniform) without."""
        return self.sizes if self.size_bias else None


def groups_of(
    labels: Int64[Tensor, " tokens"], size_bias: bool, dtype: torch.dtype = torch.float64
) -> Groups:
    """Groups from labels 0…K−1, every one of which must occur.

    Raises:
        ValueError: a label is missing.
    """
    sizes = torch.bincount(labels).to(dtype)
    if (sizes == 0).any():
        raise ValueError(f"labels must be 0…K−1 without gaps; {int((sizes == 0).sum())} of them do not occur")
    return Groups(labels, sizes, size_bias)


def group_means(x: Tokens, groups: Groups) -> Float[Tensor, "groups width"]:
    """Means of the tokens of every group."""
    total = torch.zeros(len(groups.sizes), x.shape[-1], dtype=x.dtype, device=x.device)
    return total.index_add_(0, groups.labels, x) / groups.sizes.to(x)[:, None]


def copy_back(y: Float[Tensor, "groups width"], groups: Groups) -> Tokens:
    """Every token gets the value of its group."""
    return y[groups.labels]


@dataclass(frozen=True)
class BipartiteMerge:
    """FastVGGT-like matching: a random share of tokens are destinations, sources merge into the most similar.

    ``m``: fraction of tokens to merge, capped by the number of sources. ``destinations``: share f of tokens
    that are destinations, drawn anew in every layer from ``seed``. Callable as the ``merge`` of
    :func:`lib.dynamics.simulate`.
    """

    m: float
    destinations: float
    seed: int
    size_bias: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.m < 1 or not 0 < self.destinations < 1:
            raise ValueError(f"m {self.m} must lie in [0, 1) and destinations {self.destinations} in (0, 1)")

    def __call__(self, x: Tokens, layer: int) -> Groups:
        """Match the tokens of ``x`` for layer number ``layer``."""
        n = len(x)
        generator = torch.Generator().manual_seed(self.seed * 100_003 + layer)
        order = torch.randperm(n, generator=generator).to(x.device)
        count = round(self.destinations * n)
        target, source = order[:count], order[count:]
        merged = round(self.m * n)  # beyond the number of sources: all of them
        u = unit(x)
        best, partner = _best_match(u[source], u[target])
        rank = torch.argsort(best, descending=True, stable=True)
        labels = torch.empty(n, dtype=torch.long, device=x.device)
        labels[target] = torch.arange(count, device=x.device)
        labels[source[rank[:merged]]] = partner[rank[:merged]]
        rest = source[rank[merged:]]
        labels[rest] = count + torch.arange(len(rest), device=x.device)
        return groups_of(labels, self.size_bias, x.dtype)


def _best_match(source: Tensor, target: Tensor, rows: int = 4096) -> tuple[Tensor, Tensor]:
    """Largest cosine and its index in ``target``, for every row of ``source``, a slab of rows at a time."""
    parts = [(s @ target.T).max(dim=-1) for s in source.split(rows)]
    return torch.cat([p.values for p in parts]), torch.cat([p.indices for p in parts])

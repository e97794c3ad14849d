"""Merging of particles: clouds with redundant tokens, and FastVGGT-like matching in the toy dynamics."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from lib.dynamics import Groups, groups_of, unit
from lib.dynamics.clouds import Tokens


def mixture_cloud(
    tokens: int, width: int, unique: float, jitter: float, seed: int, clusters: int = 1
) -> tuple[Float64[Tensor, "{tokens} {width}"], Bool[Tensor, " {tokens}"]]:
    """Redundant and unique tokens as unit vectors, and a flag that is True where a token is unique.

    A share ``unique`` in [0, 1] is uniform; the others lie around ``clusters`` random centres at distance
    about ``jitter`` (radius before normalisation).

    Raises:
        ValueError: ``unique`` lies outside [0, 1].
    """
    if not 0 <= unique <= 1:
        raise ValueError(f"unique {unique} must lie in [0, 1]")
    alone = round(unique * tokens)
    generator = torch.Generator().manual_seed(seed)

    def draw(rows: int) -> Tensor:
        return unit(torch.randn(rows, width, generator=generator, dtype=torch.float64))

    centres = draw(clusters)
    label = torch.randint(clusters, (tokens - alone,), generator=generator)
    redundant = unit(centres[label] + jitter * draw(tokens - alone))
    flag = torch.arange(tokens) >= tokens - alone
    return torch.cat([redundant, draw(alone)]), flag


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

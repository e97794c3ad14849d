"""Initial tokens on the unit sphere: uniform, biased, equiangular."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor

Tokens = Float[Tensor, "tokens width"]
Weights = Float[Tensor, " tokens"]


def unit(x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
    """Rows of ``x`` divided by their lengths."""
    lengths: Tensor = x.norm(dim=-1, keepdim=True)
    return x / lengths


def gaussian(
    rows: int, columns: int, seed: int, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "{rows} {columns}"]:
    """Standard normal numbers, drawn on the CPU so that every device sees the same."""
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(
        dtype
    )


def uniform_cloud(tokens: int, width: int, seed: int) -> Float64[Tensor, "{tokens} {width}"]:
    """Independent uniform unit vectors."""
    return unit(gaussian(tokens, width, seed))


def biased_cloud(tokens: int, width: int, bias: float, seed: int) -> Float64[Tensor, "{tokens} {width}"]:
    """Unit vectors around e₁: Gaussian with mean ``bias``·√width on e₁, then normalised.

    The mean length is about bias/√(1 + bias²): 0.33 gives R ≈ 0.3.
    """
    x = gaussian(tokens, width, seed)
    x[:, 0] += bias * math.sqrt(width)
    return unit(x)


def equiangular_cloud(tokens: int, cosine: float = 0.0) -> Float64[Tensor, "{tokens} {tokens}"]:
    """Unit vectors whose pairwise cosines all equal ``cosine``.

    Raises:
        ValueError: no such vectors exist (``cosine`` outside −1/(tokens−1) … 1).
    """
    if not -1 / max(tokens - 1, 1) <= cosine <= 1:
        raise ValueError(f"cosine {cosine} must lie in {-1 / max(tokens - 1, 1):.4g} … 1 for {tokens} tokens")
    centre = torch.ones(tokens, tokens, dtype=torch.float64) / tokens
    deviation = torch.eye(tokens, dtype=torch.float64) - centre
    common = math.sqrt((1 + (tokens - 1) * cosine) / tokens)  # R
    e = torch.ones(tokens, dtype=torch.float64) / math.sqrt(tokens)
    return (
        unit(common * e + math.sqrt(1 - common**2) * unit(deviation)) if common < 1 else e.repeat(tokens, 1)
    )

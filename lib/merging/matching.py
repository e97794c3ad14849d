"""Which destination is each source most similar to: streamed, never holding the score matrix.

Spec section 2.2, steps 4 and 5.
"""

from __future__ import annotations

from time import perf_counter
from typing import Literal

import torch
from torch import Tensor

ScorePrecision = Literal["bf16", "fp32"]

# Rows and columns of one tile of scores: 4 MiB in float32, so that a tile stays in cache on a CPU ...
CPU_TILE = (512, 2048)
# ... and large enough to keep a GPU busy (256 MiB).
CUDA_TILE = (8192, 8192)


def clock(x: Tensor) -> float:
    """Seconds now, after the device of `x` has finished its queue (only CUDA has one)."""
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return perf_counter()


def unit_rows(x: Tensor, similarity: ScorePrecision) -> Tensor:
    """Rows divided by their L2 norm, a zero row staying zero; rounded to bfloat16 if asked.

    Args:
        x: (tokens, C) features.
        similarity: "bf16" as released, or "fp32".

    Returns:
        (tokens, C), bfloat16 on CUDA, otherwise float32 holding bfloat16 values (the same products and
        a far faster matrix product on processors without bfloat16 units); float32 (or 64) for "fp32".
    """
    x = x.detach()
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    unit = torch.where(norm > 0, x / norm, torch.zeros_like(x))
    if similarity == "fp32":
        return unit.to(torch.promote_types(x.dtype, torch.float32))
    rounded = unit.to(torch.bfloat16)
    return rounded if x.is_cuda else rounded.float()


def projected(x: Tensor, width: int, seed: int) -> Tensor:
    """Fixed random orthogonal projection of features to at most `width` dimensions.

    Args:
        x: (..., C) features.
        width: dimensions kept; features that are no wider are returned as they are.
        seed: seed of the projection, drawn on the CPU: the same on every device.

    Returns:
        (..., min(width, C)). Inner products are kept on average (up to the factor width/C).
    """
    channels = x.shape[-1]
    if channels <= width:
        return x
    noise = torch.randn(channels, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    basis = torch.linalg.qr(noise).Q
    with torch.autocast(x.device.type, enabled=False):
        return x.detach() @ basis.to(device=x.device, dtype=x.dtype)


def best_match(
    sources: Tensor, destinations: Tensor, similarity: ScorePrecision, tile: tuple[int, int] | None = None
) -> tuple[Tensor, Tensor]:
    """For each source the most similar destination, scores streamed over tiles.

    Args:
        sources: (n, C) from `unit_rows`.
        destinations: (k, C) from `unit_rows`, k >= 1.
        similarity: "bf16" rounds each score to bfloat16, as the released code does.
        tile: rows and columns of scores held at once; None picks a size for the device.

    Returns:
        (n,) best score and (n,) int64 position of the destination; of equal scores the first.

    Raises:
        ValueError: without a destination.
    """
    if destinations.shape[0] == 0:
        raise ValueError("matching needs at least one destination, got none")
    high, wide = tile or (CUDA_TILE if sources.is_cuda else CPU_TILE)
    # Autocast would quietly round the products; the similarity alone decides the precision.
    with torch.autocast(sources.device.type, enabled=False):
        found = [_match_rows(rows, destinations, similarity, wide) for rows in sources.split(high)]
    return torch.cat([score for score, _ in found]), torch.cat([place for _, place in found])


def _match_rows(
    rows: Tensor, destinations: Tensor, similarity: ScorePrecision, wide: int
) -> tuple[Tensor, Tensor]:
    best = place = None
    for start in range(0, destinations.shape[0], wide):
        scores = rows @ destinations[start : start + wide].T
        if similarity == "bf16":
            scores = scores.to(torch.bfloat16)
        score, column = scores.max(dim=1)
        if best is None or place is None:
            best, place = score, column
            continue
        better = score > best
        best, place = torch.where(better, score, best), torch.where(better, column + start, place)
    assert best is not None and place is not None
    return best, place

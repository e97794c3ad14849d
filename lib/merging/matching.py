"""Which destination is each source most similar to: streamed, never holding the score matrix.
Source: matching of FastVGGT.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lib.gpu import half_is_fast

from .once import basis_of

Targets = Float[Tensor, "destinations width"]
ScorePrecision = Literal["bf16", "fp32"]

# Rows and columns of one tile of scores: 4 MiB in float32, so that a tile stays in cache on a CPU ...
CPU_TILE = (512, 2048)
# ... and large enough to keep a GPU busy (256 MiB).
CUDA_TILE = (8192, 8192)


def unit_rows(x: Float[Tensor, "tokens width"], similarity: ScorePrecision) -> Float[Tensor, "tokens width"]:
    """Rows divided by their L2 norm, a zero row staying zero; rounded to bfloat16 if asked.

    "bf16" as released: bfloat16 where products of it are fast, otherwise float32 holding bfloat16 values (the
    same products, added up in float32 either way); "fp32": float32 (or 64).
    """
    x = x.detach()
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    unit = torch.where(norm > 0, x / norm, torch.zeros_like(x))
    if similarity == "fp32":
        return unit.to(torch.promote_types(x.dtype, torch.float32))
    rounded = unit.to(torch.bfloat16)
    return rounded if half_is_fast(x.device) else rounded.float()


def projected(x: Float[Tensor, "*batch channels"], width: int, seed: int) -> Float[Tensor, "*batch kept"]:
    """Fixed random orthogonal projection of features to `width` dimensions; of no more, as they are.

    Inner products are kept on average (up to the factor width/channels). The projection is drawn from `seed`
    on the CPU: the same on every device.
    """
    channels = x.shape[-1]
    if channels <= width:
        return x
    with torch.autocast(x.device.type, enabled=False):
        narrow: Tensor = x.detach() @ basis_of(channels, width, seed, x.device, x.dtype)
        return narrow


def best_match(
    sources: Float[Tensor, "sources width"],
    destinations: Targets,
    similarity: ScorePrecision,
    tile: tuple[int, int] | None = None,
) -> tuple[Float[Tensor, " sources"], Int[Tensor, " sources"]]:
    """For each source the best score and the position of its destination; of equal scores the first.

    Scores are streamed over tiles of rows from `unit_rows`.

    Args:
        similarity: "bf16" rounds each score to bfloat16, as the released code does.
        tile: rows and columns of scores held at once; None picks a size for the device.

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
    rows: Float[Tensor, "rows width"], destinations: Targets, similarity: ScorePrecision, wide: int
) -> tuple[Float[Tensor, " rows"], Int[Tensor, " rows"]]:
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

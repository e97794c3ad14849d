"""Attention heads made to measure: the shapes that a head can take, with known behaviour, for tests and
pages.

All are built on S frames of P tokens, frame-major, as in VGGT's global attention. A camera pans over a wavy
surface; each token is a point of it. Deterministic in (kind, tokens, seed).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

FAMILIES = ("collapsed", "peaked", "diffuse", "random")


@dataclass(frozen=True)
class Head:
    """Queries and keys of one head. scale: factor of the logits; frames: how many the tokens make up."""

    kind: str
    query: Float32[Tensor, "tokens width"]
    key: Float32[Tensor, "tokens width"]
    scale: float
    frames: int


def make_head(kind: str, tokens: int, seed: int, *, width: int = 64, frame_tokens: int = 128) -> Head:
    """A head of one family.

    kind: "diffuse" (logit sd 0.35: almost uniform, almost rank one, with a flat tail), "random" (iid logits
    of sd 2), "peaked" (cross-view matches on the surface: heavy tail), "collapsed" (one sink a frame and a
    smooth kernel: most rows agree), "low rank" (tokens share 12 queries: rank exactly 12). tokens: N, a
    multiple of frame_tokens.

    Raises:
        ValueError: tokens do not fill whole frames, or the kind is unknown.
    """
    if tokens % frame_tokens:
        raise ValueError(f"tokens = {tokens} must be a multiple of frame_tokens = {frame_tokens}")
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng)

    if kind == "diffuse":
        query, key = (torch.nn.functional.normalize(normal(tokens, width)) for _ in range(2))
        query, key, scale = query * math.sqrt(width), key * math.sqrt(width), 0.35 / math.sqrt(width)
    elif kind == "random":
        query, key, scale = normal(tokens, width), normal(tokens, width), 2.0 / math.sqrt(width)
    elif kind == "peaked":
        query = _smooth_features(_surface(tokens, frame_tokens, rng), 0.15, width)
        key, scale = query + 0.05 * normal(tokens, width), 14.0
    elif kind == "collapsed":
        smooth = _smooth_features(_surface(tokens, frame_tokens, rng), 0.6, width - 1)
        sink = torch.zeros(tokens, 1)
        sink[::frame_tokens] = 1.2  # the first token of every frame, as a camera token would
        query = torch.cat([smooth, torch.ones(tokens, 1)], 1)
        key, scale = torch.cat([smooth + 0.03 * normal(tokens, width - 1), sink], 1), 5.0
    elif kind == "low rank":
        query = normal(12, width)[torch.arange(tokens) % 12]
        key, scale = normal(tokens, width), 2.0 / math.sqrt(width)
    else:
        raise ValueError(f"kind = {kind!r} must be one of {(*FAMILIES, 'low rank')}")
    return Head(kind, query, key, scale, tokens // frame_tokens)


def _surface(tokens: int, frame_tokens: int, rng: torch.Generator) -> Float32[Tensor, "{tokens} 3"]:
    """Points that a panning camera sees: a unit window that drifts over a wavy sheet."""
    frame = torch.arange(tokens) // frame_tokens
    steps = torch.randn(tokens // frame_tokens, 2, generator=rng) * 0.15
    ground = torch.rand(tokens, 2, generator=rng) + torch.cumsum(steps, 0)[frame]
    return torch.cat([ground, 0.3 * torch.sin(3 * ground[:, :1])], 1)


def _smooth_features(
    points: Float32[Tensor, "tokens 3"], length: float, width: int
) -> Float32[Tensor, "tokens {width}"]:
    """Unit random Fourier features: their cosine falls with distance over `length`."""
    rng = torch.Generator().manual_seed(7)  # one fixed feature map, so that seeds vary the scene only
    waves = torch.randn(points.shape[1], width, generator=rng) / length
    phase = torch.rand(width, generator=rng) * 2 * math.pi
    return torch.nn.functional.normalize(torch.cos(points @ waves + phase))

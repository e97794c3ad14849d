"""Frame and global attention in turn: a cloud with both scales, the simulation, and the exact law."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from lib.dynamics.clouds import Tokens, unit
from lib.dynamics.particles import Layer, attraction


def hierarchical_cloud(
    frames: int, per_frame: int, common: float, frame: float, token: float
) -> Float64[Tensor, "{frames}*{per_frame} 1+{frames}+{frames}*{per_frame}"]:
    """Tokens common·e + frame·f_F + token·d_i, all directions mutually orthogonal, frame after frame.

    Frame directions have zero mean over frames and token directions zero mean within a frame; lengths are
    as given (unit tokens if common² + frame² + token² = 1).

    Raises:
        ValueError: there are fewer than two frames, or fewer than two tokens in each.
    """
    if min(frames, per_frame) < 2:
        raise ValueError(f"frames {frames} and per_frame {per_frame} must both be at least 2")
    x = torch.zeros(frames * per_frame, 1 + frames + frames * per_frame, dtype=torch.float64)
    x[:, 0] = common
    x[:, 1 : 1 + frames] = frame * _simplex(frames).repeat_interleave(per_frame, 0)
    x[:, 1 + frames :] = token * torch.block_diag(*[_simplex(per_frame)] * frames)
    return x


def alternate(tokens: Tokens, frames: int, layer: Layer, blocks: int) -> Float[Tensor, "{blocks}+1 3"]:
    """Frame attention then global attention, ``blocks`` times (V = I), on frame-major ``tokens``.

    Returns the shares of the common, frame and token components of the directions, before every
    block and at the end; they sum to one.

    Raises:
        ValueError: the tokens do not divide into ``frames`` frames.
    """
    if len(tokens) % frames:
        raise ValueError(f"{len(tokens)} tokens do not divide into {frames} frames")
    z, shares = tokens, [component_shares(tokens, frames)]
    for _ in range(blocks):
        for local in (True, False):
            u = unit(z)
            if local:
                parts = [attraction(part, layer.beta) for part in u.chunk(frames)]
                update = torch.cat(parts)
            else:
                update = attraction(u, layer.beta)
            z = (z if layer.norm == "pre" else u) + layer.step * update
        shares.append(component_shares(z, frames))
    return torch.stack(shares)


def component_shares(x: Tokens, frames: int) -> Float[Tensor, " 3"]:
    """Squared lengths of the directions' common mean, frame means about it, and tokens about those."""
    u = unit(x)
    common = u.mean(0)
    by_frame = u.reshape(frames, -1, u.shape[-1])
    means = by_frame.mean(1)
    frame = (means - common).square().sum(-1).mean()
    token = (by_frame - means[:, None]).square().sum(-1).mean()
    return torch.stack([common.square().sum(), frame, token])


def hierarchy_law(
    common: float, frame: float, token: float, step: float, blocks: int, norm: Literal["post", "pre"] = "post"
) -> Float64[np.ndarray, "{blocks}+1 3"]:
    """Shares of the common, frame and token parts under frame and global attention in turn.

    β = 0, V = I, exact: frame layers stretch common and frame parts by 1 + h/r, global layers the common part
    only, r = |z| (1 for post-LN). Source: chapter 9.
    """
    parts = np.array([common, frame, token], dtype=float)
    shares = [parts**2 / (parts**2).sum()]
    for _ in range(blocks):
        for stretched in (2, 1):
            length = float(np.sqrt((parts**2).sum()))
            if norm == "post":
                parts, length = parts / length, 1.0
            parts[:stretched] *= 1 + step / length
        shares.append(parts**2 / (parts**2).sum())
    return np.array(shares)


def _simplex(corners: int) -> Float64[Tensor, "{corners} {corners}"]:
    """Unit vectors with zero mean and equal pairwise cosines."""
    return unit(torch.eye(corners, dtype=torch.float64) - 1 / corners)

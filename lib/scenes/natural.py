"""Textures with the statistics of natural images: dead leaves over 1/f noise, made by code, with mip maps.

Source: Lee, Mumford and Huang 2001 (occluding shapes with an inverse-cubic law of sizes have the edges, the
scaling and the power spectrum of photographs); Field 1987 (amplitude falls as 1/f).
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

SIDE = 256  # texels of the side of a texture, which repeats after it; a power of two
TEXTURES = 24
LEAVES = 700
SMALLEST, LARGEST = 3.0, 90.0  # half extents of leaves, texels
SEED = 20_261_127
LEVELS = SIDE.bit_length()  # mip levels, down to one texel


@functools.cache
def texture_bank() -> UInt8[Tensor, "texels 3"]:
    """All textures with all their mip levels, the finest level of all first, row by row.

    Texel (row, column) of level k of texture i is row `level_start(k) + (i side + row) side + column` of the
    bank, with side = SIDE / 2ᵏ.
    """
    rng = np.random.default_rng(SEED)
    level = np.stack([dead_leaves(rng) for _ in range(TEXTURES)])
    rows = []
    for _ in range(LEVELS):
        rows.append((255 * level).round().astype(np.uint8).reshape(-1, 3))
        if level.shape[1] > 1:
            half = level.shape[1] // 2
            level = level.reshape(TEXTURES, half, 2, half, 2, 3).mean((2, 4))
    return torch.from_numpy(np.concatenate(rows))


def level_start(level: Int[Tensor, " rays"]) -> Int[Tensor, " rays"]:
    """First row of a mip level in the bank: the sum of TEXTURES SIDE² / 4ᵏ over the finer ones."""
    whole = TEXTURES * SIDE * SIDE * 4 // 3
    return whole - (whole >> (2 * level))


def dead_leaves(rng: np.random.Generator) -> Float[np.ndarray, "side side 3"]:
    """One texture in [0, 1] around 1/2 that repeats at its edges: leaves, each with 1/f grain of its own."""
    share = rng.random(LEAVES)
    # inverse-cubic density between the bounds, by inversion of its distribution
    size = (SMALLEST**-2 - share * (SMALLEST**-2 - LARGEST**-2)) ** -0.5
    colour, grain = power_noise(rng), power_noise(rng)[..., 0]
    rugged = rng.uniform(0.02, 0.35, LEAVES)
    canvas = 0.5 + 0.2 * colour
    for radius, rough in zip(rng.permutation(size), rugged, strict=True):
        value, tint = rng.uniform(0.05, 0.95), rng.normal(0, rng.choice([0.03, 0.12]), 3)
        rows, columns, inside = _leaf(rng, radius)
        fill = np.clip(value + tint + rough * 0.3 * grain[rows, columns][..., None], 0, 1)
        canvas[rows, columns] = np.where(inside[..., None], fill, canvas[rows, columns])
    return np.clip(canvas, 0, 1)


def _leaf(
    rng: np.random.Generator, radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Rows and columns of a window, and which of its texels a turned ellipse or rectangle covers."""
    reach = int(np.ceil(radius * 1.5))
    row, column = rng.integers(SIDE, size=2)
    span = np.arange(-reach, reach + 1)[:SIDE]
    y, x = np.meshgrid(span, span, indexing="ij")
    turn, slim = rng.uniform(0, np.pi), rng.uniform(0.3, 1.0)
    if rng.random() < 0.5:
        turn = np.round(turn / (np.pi / 2)) * np.pi / 2  # what people make stands upright
    along, across = x * np.cos(turn) + y * np.sin(turn), (y * np.cos(turn) - x * np.sin(turn)) / slim
    box = rng.random() < 0.5
    inside = np.maximum(abs(along), abs(across)) < radius if box else along**2 + across**2 < radius**2
    return (row + y) % SIDE, (column + x) % SIDE, inside


def power_noise(rng: np.random.Generator) -> Float[np.ndarray, "side side 3"]:
    """Gaussian noise whose amplitude falls as 1/f, of unit variance, the channels mostly alike."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.rfftfreq(SIDE), indexing="ij"))
    frequency[0, 0] = np.inf
    channels = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(4, SIDE, SIDE))) / frequency, s=(SIDE, SIDE))
    mixed = channels[:1] + 0.3 * channels[1:]
    mixed -= mixed.mean((1, 2), keepdims=True)
    normal: NDArray[np.float64] = (mixed / mixed.std((1, 2), keepdims=True)).transpose(1, 2, 0)
    return normal


def sample(
    bank: UInt8[Tensor, "texels 3"],
    texture: Int[Tensor, " rays"],
    place: Float[Tensor, "rays 2"],
    footprint: Float[Tensor, " rays"],
) -> Float32[Tensor, "rays 3"]:
    """Colour in [0, 1] at `place`, averaged over about the `footprint` of a pixel; both in texels.

    Linear between texels and between mip levels.
    """
    level = torch.log2(footprint.clamp(min=1.0)).clamp(max=LEVELS - 1)
    fine = level.floor()
    coarse = (fine + 1).clamp(max=LEVELS - 1)
    near, far = (_bilinear(bank, texture, place, k.long()) for k in (fine, coarse))
    return torch.lerp(near, far, (level - fine)[:, None])


def _bilinear(bank: Tensor, texture: Tensor, place: Tensor, level: Tensor) -> Tensor:
    side = SIDE >> level
    spot = place / (1 << level)[:, None] - 0.5
    corner = spot.floor()
    t = spot - corner
    column, row = corner.long().unbind(-1)
    mask = side - 1
    left, right = column & mask, (column + 1) & mask
    start = level_start(level) + texture * side * side
    top, bottom = start + (row & mask) * side, start + ((row + 1) & mask) * side
    upper = torch.lerp(bank[top + left].float(), bank[top + right].float(), t[:, :1])
    lower = torch.lerp(bank[bottom + left].float(), bank[bottom + right].float(), t[:, :1])
    return torch.lerp(upper, lower, t[:, 1:]) / 255

"""What all blocks of a pass have in common in their plans: it follows from the layout alone and is made once.

Tensors are made outside inference mode, so that a later pass with gradients may use them too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from .placement import free_tokens, nearest_kept
from .plan import Destinations, Sources, TokenLayout

Groups = tuple[tuple[Tensor, Tensor], ...]  # sources and targets of each


@dataclass(frozen=True)
class Places:
    """Tokens that may be sources (mergeable) and destinations (allowed): masks, and the same as numbers."""

    mergeable: Bool[Tensor, " tokens"]
    allowed: Bool[Tensor, " tokens"]
    sources: Sources
    destinations: Destinations
    protected: Int[Tensor, " protected"]


@lru_cache(maxsize=8)
def places_of(rule: Any, layout: TokenLayout, device: torch.device) -> Places:
    """What the plans of a `FastVGGTRule` have in common, whatever the features."""
    with torch.inference_mode(False):
        masks = rule.mergeable(layout), rule.destination_mask(layout)
        numbers = (mask.nonzero().flatten() for mask in masks)
        return Places(*(part.to(device) for part in (*masks, *numbers, rule.protected(layout))))


@lru_cache(maxsize=8)
def groups_of(rule: Any, layout: TokenLayout, device: torch.device) -> Groups:
    """Sources and possible targets of each group of a `UniformRule`; one for each source where places decide.

    Raises:
        ValueError: if the protections make m unreachable.
    """
    merged, largest = round(rule.m * layout.tokens), rule.largest_m(layout)
    if merged > round(largest * layout.tokens):
        raise ValueError(
            f"m = {rule.m} is out of reach: with these protections and regions the largest m for "
            f"this layout is {largest:.4f}; lower m, or protect less"
        )
    free = free_tokens(layout, rule.protect_first_frame, rule.protect_special)
    found, step = [], rule.frames_per_group(layout)
    with torch.inference_mode(False):
        destination = rule.destinations_of(layout, free, merged)
        for first in range(0, layout.frames, step):
            frames, start = slice(first, first + step), first * layout.tokens_per_frame
            kept = destination[frames]
            here, there = (m.flatten().nonzero().flatten() for m in (free[frames] & ~kept, kept))
            if rule.matching == "position":
                there = nearest_kept(replace(layout, frames=len(kept)), kept)[here]
            if len(here):
                found.append(((here + start).to(device), (there + start).to(device)))
    return tuple(found)


@lru_cache(maxsize=4)
def thinned(rule: Any, layout: TokenLayout, device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens that a `KeyValueGridRule` keeps, and the sizes of their cells."""
    with torch.inference_mode(False):
        kept = rule.kept_tokens(layout).to(device)
        tokens, owner = kept.flatten().nonzero().flatten(), nearest_kept(layout, kept)
        return tokens, torch.bincount(owner, minlength=layout.tokens)[tokens].double()


@lru_cache(maxsize=8)
def basis_of(channels: int, width: int, seed: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Random orthonormal columns (channels, width)."""
    with torch.inference_mode(False):
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(channels, width, generator=generator, dtype=torch.float64)
        basis: Tensor = torch.linalg.qr(noise).Q.to(device=device, dtype=dtype)
        return basis

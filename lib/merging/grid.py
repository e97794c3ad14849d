"""Keys and values thinned on the patch grid, queries untouched: merging without matching."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool
from torch import Tensor

from .once import thinned
from .placement import apportion, free_tokens, place_evenly
from .plan import Features, Grouping, Plan, RegisteredRule, TokenLayout, check_strength


@dataclass(frozen=True)
class KeyValueGridRule(RegisteredRule):
    """Keep a spread subset of keys and values (AVGGT's idea); every query and every output stays.

    Nothing is averaged: a kept key is the token's own. With `size_bias` it stands for its cell, the tokens
    to which it is the nearest kept one in their frame (special tokens sit at (0, 0), as in RoPE).

    Args:
        m: fraction of all N keys to drop, in [0, 1): exactly round(m*N) of them, spread evenly over frames
            and grid by ordered dithering. Give either m or stride.
        stride: keep the patches in every stride-th row and column instead, which drops what it drops:
            `kept(layout)` and the plan state the fraction.
        keep_first_frame: frame 0 keeps all its keys.
        keep_special: camera and register keys are kept.
        size_bias: add the log size of its cell to each kept key's logits.
        seed: shifts the grid cyclically by a draw per frame, so that frames keep different places; None
            keeps the same places in every frame.

    Raises:
        ValueError: if an argument is out of range, or not exactly one of m and stride is given.
    """

    m: float | None = None
    stride: int | None = None
    keep_first_frame: bool = True
    keep_special: bool = True
    size_bias: bool = False
    seed: int | None = None

    def __post_init__(self) -> None:
        if (self.m is None) == (self.stride is None):
            raise ValueError(f"give either m or stride, got m = {self.m} and stride = {self.stride}")
        if self.m is not None:
            check_strength(self.m)
        if self.stride is not None and self.stride < 1:
            raise ValueError(f"stride must be at least 1, got {self.stride}")

    def largest_m(self, layout: TokenLayout) -> float:
        """Largest m these options permit; at least one key must remain."""
        free = int(free_tokens(layout, self.keep_first_frame, self.keep_special).sum())
        return min(free, layout.tokens - 1) / layout.tokens

    def unprotected(self) -> KeyValueGridRule:
        """With keys of frame 0 and of special tokens thinned like all others."""
        return replace(self, keep_first_frame=False, keep_special=False)

    def scored_pairs(self, layout: TokenLayout) -> float:
        """None: it reads no features."""
        return 0.0

    def kept(self, layout: TokenLayout) -> float:
        """Fraction of keys that really remain."""
        return int(self.kept_tokens(layout).sum()) / layout.tokens

    def kept_pairs(self, layout: TokenLayout) -> float:
        """Share of the query-key pairs that remains: all queries stay."""
        return self.kept(layout)

    def kept_tokens(self, layout: TokenLayout) -> Bool[Tensor, "{layout.frames} {layout.tokens_per_frame}"]:
        """The keys that remain.

        Raises:
            ValueError: if m is out of reach, with the largest m.
        """
        free = free_tokens(layout, self.keep_first_frame, self.keep_special)
        if self.stride is not None:
            return ~free | self._lattice(layout, self.stride)
        assert self.m is not None
        dropped = round(self.m * layout.tokens)
        largest = self.largest_m(layout)
        if dropped > round(largest * layout.tokens):
            raise ValueError(
                f"m = {self.m} is out of reach: keeping these tokens, the largest m for this layout is "
                f"{largest:.4f}; lower m, or keep less"
            )
        shares = apportion(int(free.sum()) - dropped, free.sum(dim=1))
        return ~free | place_evenly(layout, free, shares, self.seed)

    def plan(self, x: Features, layout: TokenLayout) -> Plan | None:
        """Plan for one global block, rows in sequence order; None if every key is kept.

        It reads no features: of x only batch size and device count.
        ValueError: if x and layout disagree, or m is out of reach.
        """
        layout.check(x)
        tokens, sizes = thinned(self, layout, x.device)
        if len(tokens) == layout.tokens:
            return None
        rows = torch.arange(len(tokens), device=x.device)
        return Plan(
            tokens=layout.tokens,
            keys=Grouping(tokens.expand(len(x), -1), rows.expand(len(x), -1)),
            sizes=sizes.expand(len(x), -1),
            size_bias=self.size_bias,
        )

    def _lattice(
        self, layout: TokenLayout, stride: int
    ) -> Bool[Tensor, "{layout.frames} {layout.tokens_per_frame}"]:
        """Patches whose row and column are the frame's offset modulo the stride."""
        offsets = torch.zeros(layout.frames, 2, dtype=torch.int64)
        if self.seed is not None:
            # An offset beyond the grid would keep nothing of a frame narrower than the stride.
            reach = torch.tensor([min(stride, layout.patches_high), min(stride, layout.patches_wide)])
            generator = torch.Generator().manual_seed(self.seed)
            offsets = (torch.rand(layout.frames, 2, generator=generator) * reach).long()
        rows = torch.arange(layout.patches_high) % stride == offsets[:, :1]
        columns = torch.arange(layout.patches_wide) % stride == offsets[:, 1:]
        kept = torch.zeros(layout.frames, layout.tokens_per_frame, dtype=torch.bool)
        kept[:, layout.special :] = (rows[:, :, None] & columns[:, None, :]).flatten(1)
        return kept

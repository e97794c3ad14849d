"""The released FastVGGT rule, reproduced with its quirks. Source: FastVGGT."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any, get_args

import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor

from .matching import ScorePrecision, best_match, unit_rows
from .once import Places, places_of
from .plan import (
    Destinations,
    Features,
    Grouping,
    Pairs,
    Plan,
    RegisteredRule,
    Sources,
    TokenLayout,
    Tokens,
    check_strength,
)


@dataclass(frozen=True)
class FastVGGTRule(RegisteredRule):
    """Bit-faithful plan of the released code; it saturates instead of reaching a large m.

    Destinations are all of frame 0, every special token and one random patch out of each nominal cell;
    the pattern is written to consecutive patches, so that it is sheared where the width is no multiple of
    the stride. A fixed stride over the whole sequence is protected: those tokens keep their own row, and a
    protected destination has a second, averaged row beside it. Released quirks that are mended here: it
    runs on any device, with one frame or m = 0 (no plan), plans every batch item for itself, and a zero
    feature row gives no NaN.

    Args:
        m: fusion strength asked for, in [0, 1): r = int(N*m) sources are to be merged.
        seed: of the CPU generator that draws the cells, seeded afresh for every plan.
        stride: side of a cell in patches.
        protect: fraction of all tokens protected, in [0, 1); 0 switches protection off.
        similarity: "bf16" scores as released, or "fp32".
        size_bias: weigh every row by the tokens it stands for. A protected destination then gives half its
            weight to each of its two rows, so that every token counts exactly once and exact duplicates
            merge without error; without the bias both rows count fully, as released.
        no_rand: as released (not as documented there): no patch outside frame 0 is a destination.
        cells: draws, a tensor, in [0, stride**2), (S-1, h//stride, w//stride) of them, to use in place of the
            generator's.
        strict: raise instead of saturating.
    """

    saturates = True

    m: float
    seed: int = 33
    stride: int = 2
    protect: float = 0.1
    similarity: ScorePrecision = "bf16"
    size_bias: bool = False
    no_rand: bool = False
    cells: Any = None
    strict: bool = False

    def __post_init__(self) -> None:
        check_strength(self.m)
        if self.stride < 1:
            raise ValueError(f"stride must be at least 1, got {self.stride}")
        if not 0.0 <= self.protect < 1.0:
            raise ValueError(f"protect must lie in [0, 1), got {self.protect}")
        if self.similarity not in get_args(ScorePrecision):
            raise ValueError(f"similarity must be one of {get_args(ScorePrecision)}, got {self.similarity!r}")
        if isinstance(self.cells, Tensor):  # nested tuples, so that rules compare and serialise as values
            frames = tuple(tuple(tuple(row) for row in frame) for frame in self.cells.tolist())
            object.__setattr__(self, "cells", frames)

    def largest_m(self, layout: TokenLayout) -> float:
        """Largest m that merges as many tokens as it asks for; beyond it every plan is the same."""
        return int(self.mergeable(layout).sum()) / layout.tokens

    def unprotected(self) -> FastVGGTRule:
        """Without the fixed stride; its destinations stay what they are."""
        return replace(self, protect=0.0)

    def scored_pairs(self, layout: TokenLayout) -> float:
        """Every token that may merge, with every destination."""
        return self.largest_m(layout) * layout.tokens * len(self.destinations(layout))

    def kept(self, layout: TokenLayout) -> float:
        """N'/N of the keys, before any features are known; a protected destination keeps two rows."""
        merged = min(int(layout.tokens * self.m), int(self.mergeable(layout).sum()))
        if merged == 0:
            return 1.0
        twice = int(self.destination_mask(layout)[self.protected(layout)].sum())
        return (layout.tokens - merged + twice) / layout.tokens

    def plan(self, x: Features, layout: TokenLayout) -> Plan | None:
        """Plan for one global block, rows ordered [unmerged sources, destinations, protected].

        x is the normalised input of the block. None if nothing merges.

        Raises:
            ValueError: if x and layout disagree, or m is out of reach and `strict` is set.
        """
        layout.check(x)
        places = places_of(self, layout, x.device)
        wanted = int(layout.tokens * self.m)
        if self.strict and wanted > len(places.sources):
            raise ValueError(
                f"m = {self.m} is out of reach: the largest m for this layout is {self.largest_m(layout):.4f}"
                " (set strict=False to saturate there)"
            )
        merged = min(wanted, len(places.sources))
        if merged == 0:
            return None
        pairs = [self._match(item, places.sources, places.destinations, merged) for item in x]
        chosen, targets = (torch.stack(column) for column in zip(*pairs, strict=True))
        return _Rows(places, chosen, targets).plan(self.size_bias)

    def replay(self, layout: TokenLayout, sources: Pairs, destinations: Pairs) -> Plan:
        """The plan that merges given pairs, matched elsewhere (a stored plan, or another layer's).

        sources: tokens to merge, neither destinations nor protected; destinations: the destination token of
        each. The plan is as `plan` makes it.

        Raises:
            ValueError: if a source may not be merged, or a destination is none.
        """
        places = places_of(self, layout, sources.device)
        given = (("sources", sources, places.mergeable), ("destinations", destinations, places.allowed))
        for name, tokens, mask in given:
            if not bool(mask[tokens].all()):
                raise ValueError(
                    f"{name} hold a token that this rule does not admit: {tokens[~mask[tokens]]}"
                )
        return _Rows(places, sources, destinations).plan(self.size_bias)

    def destinations(self, layout: TokenLayout) -> Destinations:
        """Destination tokens in ascending order."""
        return self.destination_mask(layout).nonzero().flatten()

    def protected(self, layout: TokenLayout) -> Int[Tensor, " protected"]:
        """Protected tokens: a fixed stride over the flattened sequence."""
        count = int(layout.tokens * self.protect)
        if count == 0:
            return torch.empty(0, dtype=torch.int64)
        return torch.arange(count) * max(1, layout.tokens // count)

    def mergeable(self, layout: TokenLayout) -> Bool[Tensor, " {layout.tokens}"]:
        """Tokens that may be sources."""
        mask = ~self.destination_mask(layout)
        mask[self.protected(layout)] = False
        return mask

    def destination_mask(self, layout: TokenLayout) -> Bool[Tensor, " {layout.tokens}"]:
        """Destination tokens."""
        mask = torch.zeros(layout.frames, layout.tokens_per_frame, dtype=torch.bool)
        mask[0] = True
        mask[:, : layout.special] = True
        if not self.no_rand:
            chosen = self._cell_choice(layout)
            # As released: consecutive patches from the first on, whatever the true width of the grid.
            mask[1:, layout.special : layout.special + chosen.shape[1]] = chosen
        return mask.flatten()

    def _cell_choice(self, layout: TokenLayout) -> Bool[Tensor, "frames places"]:
        """One chosen place per cell, flattened at the width of the cells; frame 0 has none."""
        side = self.stride
        shape = (layout.frames - 1, layout.patches_high // side, layout.patches_wide // side)
        if self.cells is None:
            generator = torch.Generator().manual_seed(self.seed)
            cells = torch.randint(side * side, shape, generator=generator)
        else:
            cells = torch.tensor(self.cells, dtype=torch.int64)
            cells = cells.reshape(shape) if cells.numel() == 0 == prod(shape) else cells
            if cells.shape != shape or bool(((cells < 0) | (cells >= side * side)).any()):
                raise ValueError(
                    f"cells must be integers in [0, {side * side}) of shape {shape}, got {self.cells}"
                )
        chosen = torch.zeros(*shape, side * side, dtype=torch.bool)
        chosen.scatter_(-1, cells[..., None], True)
        places: Tensor = chosen.unflatten(-1, (side, side)).transpose(2, 3).flatten(1)
        return places

    def _match(
        self, x: Tokens, sources: Sources, destinations: Destinations, merged: int
    ) -> tuple[Int[Tensor, " {merged}"], Int[Tensor, " {merged}"]]:
        """The `merged` most similar sources of one batch item and the destination of each."""
        unit = unit_rows(x, self.similarity)
        score, place = best_match(unit[sources], unit[destinations], self.similarity)
        chosen = score.argsort(descending=True, stable=True)[:merged]
        return sources[chosen], destinations[place[chosen]]


@dataclass(frozen=True)
class _Rows:
    """The released row order [unmerged sources, destinations, protected], each in sequence order."""

    places: Places
    sources: Pairs
    destinations: Pairs

    def plan(self, size_bias: bool) -> Plan:
        """Assemble the plan from its memberships."""
        batch, tokens = len(self.sources), len(self.places.mergeable)
        averaged, protected = self.places.destinations, self.places.protected
        # Every token's row, then the second row of each protected token.
        own = torch.cat([self._unmerged(), averaged.expand(batch, -1)], dim=1)
        first = torch.arange(own.shape[1], device=own.device).expand(batch, -1)
        output_rows = torch.zeros(batch, tokens, dtype=torch.int64, device=own.device).scatter_(1, own, first)
        joined = output_rows.gather(1, self.destinations)
        length = own.shape[1] + len(protected)
        copied = torch.arange(own.shape[1], length, device=own.device).expand(batch, -1)
        members = torch.cat([own, self.sources, protected.expand(batch, -1)], dim=1)
        rows = torch.cat([first, joined, copied], dim=1)
        output_rows.scatter_(1, self.sources, joined)
        output_rows[:, protected] = copied  # a protected token reads its own copy
        share = self._shares(members)
        grouping = Grouping.from_rows(rows, length, members, share if size_bias else None)
        return Plan(
            tokens=tokens,
            keys=grouping,
            sizes=share.new_zeros(batch, length).scatter_add(1, rows, share),
            queries=grouping,
            output_rows=output_rows,
            size_bias=size_bias,
            sources=self.sources,
            destinations=self.destinations,
        )

    def _unmerged(self) -> Int[Tensor, "batch unmerged"]:
        """Sources that stay, in order; their number is known, so that a GPU need not be asked for it."""
        batch, count = len(self.sources), len(self.places.sources) - self.sources.shape[1]
        rest = self.places.mergeable.repeat(batch, 1).scatter_(1, self.sources, False)
        place = torch.where(rest, rest.cumsum(dim=1) - 1, count)  # all others share one place, cut off below
        tokens = torch.arange(rest.shape[1], device=rest.device).expand(batch, -1)
        return place.new_empty(batch, count + 1).scatter_(1, place, tokens)[:, :count]

    def _shares(self, members: Int[Tensor, "batch members"]) -> Float64[Tensor, "batch members"]:
        """One per membership, one half where a token has two rows (a protected destination)."""
        ones = torch.ones_like(members, dtype=torch.float64)
        times = ones.new_zeros(len(members), len(self.places.mergeable)).scatter_add(1, members, ones)
        return 1.0 / times.gather(1, members)

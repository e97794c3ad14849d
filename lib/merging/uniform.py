"""A merging rule that reaches the fusion strength it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from jaxtyping import Int
from torch import Tensor

from .matching import ScorePrecision, best_match, projected, unit_rows
from .once import Groups, groups_of
from .placement import apportion, free_tokens, place_evenly
from .plan import (
    Features,
    Grouping,
    Pairs,
    Plan,
    RegisteredRule,
    TokenLayout,
    TokenMask,
    Tokens,
    check_strength,
)

Matching = Literal["features", "projected", "position"]


@dataclass(frozen=True)
class UniformRule(RegisteredRule):
    """Merge exactly round(m*N) tokens: kept = 1 - m up to rounding, for every m the protections permit.

    Free (unprotected) tokens are split into destinations, spread evenly over frames and over the patch
    grid, and sources. One free token in stride**2 is a destination as long as enough sources remain, fewer
    beyond that (m above about 1 - 1/stride**2). Each source is matched to one destination, the r sources
    with the highest scores are merged, every group becomes its plain mean, all others stay as they are.

    Args:
        m: fraction of all N tokens to merge away, in [0, 1).
        protect_first_frame: tokens of frame 0 are neither sources nor destinations.
        protect_special: camera and register tokens are neither sources nor destinations.
        region: frames per group; a source is matched within its group only, which divides the cost of
            matching by the number of groups. None: the whole sequence is one group.
        stride: one free token in stride**2 is a destination where m permits.
        matching: "features" by cosine over all channels; "projected" by cosine after a fixed random
            orthogonal projection to `metric_width` dimensions; "position" by the nearest destination on
            the patch grid, no features read (all other free tokens are then destinations).
        metric_width: dimensions of the projection, 1 to 64.
        similarity: precision of the cosines.
        size_bias: weigh every key row by the tokens it stands for (ToMe's proportional attention).
        merge_queries: merge queries too; False leaves all N queries.
        seed: of the spread of destinations and of the projection.
    """

    m: float
    protect_first_frame: bool = True
    protect_special: bool = True
    region: int | None = None
    stride: int = 2
    matching: Matching = "projected"
    metric_width: int = 64
    similarity: ScorePrecision = "fp32"
    size_bias: bool = False
    merge_queries: bool = True
    seed: int = 33

    def __post_init__(self) -> None:
        check_strength(self.m)
        if self.stride < 1:
            raise ValueError(f"stride must be at least 1, got {self.stride}")
        if self.region is not None and self.region < 1:
            raise ValueError(f"region must be at least 1 frame, or None, got {self.region}")
        if not 1 <= self.metric_width <= 64:
            raise ValueError(f"metric_width must lie in [1, 64], got {self.metric_width}")
        if self.matching not in get_args(Matching):
            raise ValueError(f"matching must be one of {get_args(Matching)}, got {self.matching!r}")
        if self.similarity not in get_args(ScorePrecision):
            raise ValueError(f"similarity must be one of {get_args(ScorePrecision)}, got {self.similarity!r}")

    def largest_m(self, layout: TokenLayout) -> float:
        """Largest m these protections permit: all free tokens but one destination for each group."""
        free = free_tokens(layout, self.protect_first_frame, self.protect_special)
        return (int(free.sum()) - int((self._group_sizes(free) > 0).sum())) / layout.tokens

    def unprotected(self) -> UniformRule:
        """With frame 0 and the special tokens free to merge: it then reaches every m."""
        return replace(self, protect_first_frame=False, protect_special=False)

    def scored_pairs(self, layout: TokenLayout) -> float:
        """Sources times destinations of each group; exact where groups are equal, or there is one."""
        if self.matching == "position":
            return 0.0
        free = int(free_tokens(layout, self.protect_first_frame, self.protect_special).sum())
        groups = 1 if self.region is None else -(-layout.frames // self.region)
        staying = free - round(self.m * layout.tokens)
        destinations = min(staying, max(groups, round(free / self.stride**2)))
        return (free - destinations) * destinations / groups

    def kept(self, layout: TokenLayout) -> float:
        """1 - m, up to rounding.

        Raises:
            ValueError: the protections do not permit this m.
        """
        if self.m > (largest := self.largest_m(layout)):
            raise ValueError(f"m = {self.m} is out of reach here; the largest is {largest:.3f}")
        return 1 - round(self.m * layout.tokens) / layout.tokens

    def kept_pairs(self, layout: TokenLayout) -> float:
        """Share of the query-key pairs that remains."""
        return super().kept_pairs(layout) if self.merge_queries else self.kept(layout)

    def matching_operations(self, layout: TokenLayout, width: int) -> float:
        """Of the scores, and of the projection before them where it narrows the features."""
        if self.matching != "projected" or self.metric_width >= width:
            return super().matching_operations(layout, width)
        projection = 2.0 * layout.tokens * width * self.metric_width
        return 2 * self.metric_width * self.scored_pairs(layout) + projection

    def plan(self, x: Features, layout: TokenLayout) -> Plan | None:
        """Plan for one global block; rows are the tokens that stay, in sequence order.

        x is the normalised input of the block. None if m*N rounds to 0.

        Raises:
            ValueError: if x and layout disagree, or the protections make m unreachable.
        """
        layout.check(x)
        merged = round(self.m * layout.tokens)
        if merged == 0:
            return None
        groups = groups_of(self, layout, x.device)
        metric = projected(x, self.metric_width, self.seed) if self.matching == "projected" else x
        pairs = [self._match(item, groups, merged) for item in metric]
        sources, targets = (torch.stack(column) for column in zip(*pairs, strict=True))
        return self.assembled(layout.tokens, sources, targets)

    def frames_per_group(self, layout: TokenLayout) -> int:
        """Frames among which a source looks for its destination."""
        return min(self.region or layout.frames, layout.frames)

    def _group_sizes(self, free: TokenMask) -> Int[Tensor, " groups"]:
        """Free tokens of each group of frames."""
        return torch.stack([group.sum() for group in free.split(self.region or len(free))])

    def destinations_of(self, layout: TokenLayout, free: TokenMask, merged: int) -> TokenMask:
        """Destinations, at least one in every group that has free tokens."""
        sizes = self._group_sizes(free)
        staying = int(sizes.sum()) - merged
        used = (sizes > 0).long()
        wanted = staying if self.matching == "position" else round(int(sizes.sum()) / self.stride**2)
        count = min(staying, max(int(used.sum()), wanted))
        shares = used + apportion(count - int(used.sum()), sizes - used)
        per_frame = free.sum(dim=1).split(self.frames_per_group(layout))
        frames = [apportion(int(share), group) for share, group in zip(shares, per_frame, strict=True)]
        return place_evenly(layout, free, torch.cat(frames), self.seed)

    def _match(
        self, x: Tokens, groups: Groups, merged: int
    ) -> tuple[Int[Tensor, " merged"], Int[Tensor, " merged"]]:
        """Tokens merged and tokens they merge into, for one batch item."""
        by_place = self.matching == "position"  # then every source merges, in order
        unit = x if by_place else unit_rows(x, self.similarity)
        found = []
        for sources, targets in groups:
            if by_place:
                found.append((torch.zeros(len(sources), device=x.device), sources, targets))
            else:
                score, place = best_match(unit[sources], unit[targets], self.similarity)
                found.append((score, sources, targets[place]))
        scores, sources, targets = (torch.cat(column) for column in zip(*found, strict=True))
        best = scores.argsort(descending=True, stable=True)[:merged]
        return sources[best], targets[best]

    def assembled(self, tokens: int, sources: Pairs, targets: Pairs) -> Plan:
        """The plan that merges `sources` into `targets` and keeps every other token's row."""
        stays = torch.ones(sources.shape[0], tokens, dtype=torch.bool, device=sources.device)
        stays.scatter_(1, sources, False)
        rows = stays.cumsum(dim=1) - 1
        rows.scatter_(1, sources, rows.gather(1, targets))
        length = tokens - sources.shape[1]
        grouping = Grouping.from_rows(rows, length)
        sizes = torch.zeros(len(rows), length, dtype=torch.float64, device=rows.device)
        return Plan(
            tokens=tokens,
            keys=grouping,
            sizes=sizes.scatter_add_(1, rows, torch.ones_like(rows, dtype=torch.float64)),
            queries=grouping if self.merge_queries else None,
            output_rows=rows if self.merge_queries else None,
            size_bias=self.size_bias,
            sources=sources,
            destinations=targets,
        )

"""A merging rule whose ratio follows the tokens: each block merges what a budget of error permits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .matching import best_match, unit_rows
from .once import groups_of
from .placement import free_tokens
from .plan import Features, Plan, RegisteredRule, TokenLayout, TokenMask
from .uniform import UniformRule

ErrorBudget = Literal["block", "pair"]
ROUNDING = 1e-6  # 2 (1 - cos) of equal rows in single precision; anything below counts as equal


@dataclass(frozen=True)
class AdaptiveRule(RegisteredRule):
    """Merge the most similar tokens of a block until the error that it discards reaches a tolerance.

    Destinations, protections, groups and rows are those of `UniformRule`; only the number of merged tokens
    is not asked for but follows from the tokens. Merging source i into destination j (unit directions u)
    moves the group's mean; what a group loses around its mean is at most the sum of |u_i - u_j|**2 =
    2 (1 - cos_ij) over its sources (the mean minimises the sum of squares). So with `budget` "block" at most
    the share `tolerance` of the tokens' squared directions is lost in a block:

        (2/N) * sum over merged pairs of (1 - cos) <= tolerance;

    with "pair" every single merged pair obeys 2 (1 - cos) <= tolerance, the same price in every block. The
    rule reads one block and nothing else, so it is a value like the others. In a batch every item merges
    the number of tokens that the most demanding item permits.

    Args:
        tolerance: in [0, 4]; 0 merges exact duplicates only.
        budget: "block" or "pair".
        most: cap on m; None: all free tokens but one in stride**2, the destinations. A larger cap leaves
            fewer destinations, and one beyond the protections is taken as the largest m they permit.
        protect_first_frame, protect_special, stride, size_bias, merge_queries, seed: as in `UniformRule`;
            matching is by all channels in single precision, since the bound needs the cosines themselves.
    """

    adaptive = True

    tolerance: float
    budget: ErrorBudget = "block"
    most: float | None = None
    protect_first_frame: bool = True
    protect_special: bool = True
    stride: int = 2
    size_bias: bool = False
    merge_queries: bool = True
    seed: int = 33

    def __post_init__(self) -> None:
        if not 0.0 <= self.tolerance <= 4.0:
            raise ValueError(f"tolerance must lie in [0, 4], got {self.tolerance}")
        if self.budget not in get_args(ErrorBudget):
            raise ValueError(f"budget must be one of {get_args(ErrorBudget)}, got {self.budget!r}")
        self._uniform(0.0 if self.most is None else self.most)

    def largest_m(self, layout: TokenLayout) -> float:
        """1: a tolerance is always met."""
        return 1.0

    def unprotected(self) -> AdaptiveRule:
        """With frame 0 and the special tokens free to merge."""
        return replace(self, protect_first_frame=False, protect_special=False)

    def scored_pairs(self, layout: TokenLayout) -> float:
        """Every source with every destination, over all channels."""
        free = free_tokens(layout, self.protect_first_frame, self.protect_special)
        limit = self._limit(layout, free)
        return self._uniform(limit / layout.tokens).scored_pairs(layout) if limit > 0 else 0.0

    def plan(self, x: Features, layout: TokenLayout) -> Plan | None:
        """Plan for one global block; rows are the tokens that stay, in sequence order.

        x is the normalised input of the block. None if no pair fits into the tolerance.
        """
        layout.check(x)
        free = free_tokens(layout, self.protect_first_frame, self.protect_special)
        limit = self._limit(layout, free)
        if limit < 1:
            return None
        uniform = self._uniform(limit / layout.tokens)
        ((sources, targets),) = groups_of(uniform, layout, x.device)
        matched = [_ordered_pairs(item, sources, targets) for item in x]
        merged = min(limit, *(self.permitted(losses, layout.tokens) for losses, _, _ in matched))
        if merged == 0:
            return None
        first, second = (torch.stack([m[k][:merged] for m in matched]) for k in (1, 2))
        return uniform.assembled(layout.tokens, first, second)

    def permitted(self, losses: Float[Tensor, " pairs"], tokens: int) -> int:
        """How many of the pairs fit into the tolerance; losses 2 (1 - cos) ascending, in [0, 4]."""
        if self.budget == "block":
            losses = losses.double().cumsum(0) / tokens
        return int((losses <= self.tolerance).sum())

    def _limit(self, layout: TokenLayout, free: TokenMask) -> int:
        """Most tokens that may be merged, whatever their likeness."""
        count = int(free.sum())
        if self.most is None:
            return count - max(1, round(count / self.stride**2)) if count else 0
        largest = round(self._uniform(0.0).largest_m(layout) * layout.tokens)
        return min(round(self.most * layout.tokens), largest)

    def _uniform(self, m: float) -> UniformRule:
        """The rule that lends destinations and rows."""
        names = ("protect_first_frame", "protect_special", "stride", "size_bias", "merge_queries", "seed")
        return UniformRule(m, **{name: getattr(self, name) for name in names})


def _ordered_pairs(
    x: Float[Tensor, "tokens width"], sources: Int[Tensor, " sources"], targets: Int[Tensor, " targets"]
) -> tuple[Float[Tensor, " sources"], Int[Tensor, " sources"], Int[Tensor, " sources"]]:
    """Each source with its most similar target: losses 2 (1 - cos) ascending, sources, their targets."""
    unit = unit_rows(x, "fp32")
    score, place = best_match(unit[sources], unit[targets], "fp32")
    loss = 2 * (1 - score)
    losses, order = torch.where(loss < ROUNDING, 0, loss).sort(stable=True)
    return losses, sources[order], targets[place[order]]

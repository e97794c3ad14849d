"""Keys thinned hard, queries merged gently: the two sides of attention need not be reduced alike."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .grid import KeyValueGridRule
from .plan import Features, Plan, RegisteredRule, TokenLayout, check_strength
from .uniform import UniformRule


@dataclass(frozen=True)
class SplitRule(RegisteredRule):
    """Drop a fraction m of the keys on the patch grid, and merge fewer of the queries by content.

    Keys and values are thinned as by `KeyValueGridRule`, without matching. Queries are merged as by
    `UniformRule` within groups of consecutive frames, so that matching costs as many scores a frame however
    long the sequence is. A token whose query was merged receives the output of its group.
    Source: Spark3R (arXiv 2605.06270), whose factors differ from layer to layer; here all layers share them.

    Args:
        m: fraction of all N keys to drop, in [0, 1).
        query_m: fraction of all N queries to merge away, at most m; None: half of m.
        region: frames in a group.
        protect: keys and queries of frame 0 and of special tokens stay as they are.
        size_bias: add the log size of its cell to each kept key's logits.
        seed: of the grid's places and of the spread of destinations.

    Raises:
        ValueError: if a strength is out of range, query_m above m, or region below 1.
    """

    m: float
    query_m: float | None = None
    region: int = 20
    protect: bool = True
    size_bias: bool = False
    seed: int = 33

    def __post_init__(self) -> None:
        check_strength(self.m)
        if not 0.0 <= self.of_queries <= self.m:
            raise ValueError(f"query_m must lie in [0, m] = [0, {self.m}], got {self.query_m}")
        if self.region < 1:
            raise ValueError(f"region must be at least 1 frame, got {self.region}")

    @property
    def of_queries(self) -> float:
        """Fraction of all N queries to merge away."""
        return self.m / 2 if self.query_m is None else self.query_m

    @property
    def for_keys(self) -> KeyValueGridRule:
        """What thins the keys."""
        rule = KeyValueGridRule(self.m, size_bias=self.size_bias, seed=self.seed)
        return rule if self.protect else rule.unprotected()

    @property
    def for_queries(self) -> UniformRule:
        """What merges the queries."""
        rule = UniformRule(self.of_queries, region=self.region, seed=self.seed)
        return rule if self.protect else rule.unprotected()

    def largest_m(self, layout: TokenLayout) -> float:
        """Largest m that both sides reach."""
        keys, queries = self.for_keys.largest_m(layout), self.for_queries.largest_m(layout)
        if self.query_m is None:
            return min(keys, 2 * queries)
        return keys if self.query_m <= queries else 0.0

    def unprotected(self) -> SplitRule:
        """With frame 0 and the special tokens reduced like all others."""
        return replace(self, protect=False)

    def _check(self, layout: TokenLayout) -> None:
        """Each side refuses what it cannot reach itself, in whole tokens; together they may reach less."""
        largest = self.largest_m(layout)
        if self.query_m is None and round(self.m * layout.tokens) > round(largest * layout.tokens):
            raise ValueError(
                f"m = {self.m} is out of reach: with these protections the largest m for this layout is "
                f"{largest:.4f}; lower m, give query_m, or protect less"
            )

    def kept(self, layout: TokenLayout) -> float:
        """N'/N of the keys; raises as `plan`."""
        self._check(layout)
        return self.for_keys.kept(layout)

    def kept_pairs(self, layout: TokenLayout) -> float:
        """Share of the query-key pairs that remains, both sides together."""
        return self.kept(layout) * self.for_queries.kept(layout)

    def scored_pairs(self, layout: TokenLayout) -> float:
        """Those of the queries: keys are chosen by their places."""
        return self.for_queries.scored_pairs(layout)

    def matching_operations(self, layout: TokenLayout, width: int) -> float:
        """Of choosing the groups of queries."""
        return self.for_queries.matching_operations(layout, width)

    def plan(self, x: Features, layout: TokenLayout) -> Plan | None:
        """Plan for one global block; None if m*N rounds to 0, and then no query merges either.

        Raises:
            ValueError: if x and layout disagree, or the protections make a strength unreachable.
        """
        self._check(layout)
        keys, merged = self.for_keys.plan(x, layout), self.for_queries.plan(x, layout)
        if keys is None or merged is None:
            return keys
        return replace(
            keys,
            queries=merged.queries,
            output_rows=merged.output_rows,
            sources=merged.sources,
            destinations=merged.destinations,
        )

"""What one attention call does with its tokens: layout, groups, plan, and the rule that makes a plan.

A plan is data (index tensors) with pure functions on it; it knows nothing of features or models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

Features = Float[Tensor, "batch tokens width"]  # of a block
Tokens = Float[Tensor, "tokens width"]  # of one batch item
Sources = Int[Tensor, " sources"]  # tokens that may merge
Destinations = Int[Tensor, " destinations"]
Heads = Float[Tensor, "batch heads tokens head_dim"]  # queries, keys or values
QueryRows = Float[Tensor, "batch heads queries head_dim"]
KeyRows = Float[Tensor, "batch heads keys head_dim"]
Members = Int[Tensor, "batch members"]  # memberships of tokens in rows
Weights = Float64[Tensor, "batch members"]
Pairs = Int[Tensor, "batch merged"]  # tokens, in the order of merging
TokenMask = Bool[Tensor, "frames places"]  # a place is a token of one frame


@dataclass(frozen=True)
class TokenLayout:
    """How N tokens lie in the flattened sequence: frame by frame, specials first, then patches row by row.

    frames: S; patches_high, patches_wide: patch grid of one frame; special: camera and register tokens.
    """

    frames: int
    patches_high: int
    patches_wide: int
    special: int = 5

    def __post_init__(self) -> None:
        for name, least in (("frames", 1), ("patches_high", 1), ("patches_wide", 1), ("special", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")

    @property
    def patches(self) -> int:
        """Patches of one frame, h*w."""
        return self.patches_high * self.patches_wide

    @property
    def tokens_per_frame(self) -> int:
        """P = special + h*w."""
        return self.special + self.patches

    @property
    def tokens(self) -> int:
        """N = S*P."""
        return self.frames * self.tokens_per_frame

    def check(self, x: Float[Tensor, " ..."]) -> None:
        """Refuse features that are not (batch, N, channels) with this layout's N.

        Raises:
            ValueError: naming both shapes.
        """
        if x.ndim != 3 or x.shape[1] != self.tokens:
            raise ValueError(
                f"expected features of shape (B, {self.tokens}, C) for {self.frames} frames of "
                f"{self.tokens_per_frame} tokens, got {tuple(x.shape)}"
            )


@dataclass(frozen=True)
class Grouping:
    """A map from N tokens to R rows, each row the (weighted) mean of its members.

    Stored like a sparse matrix by rows; `from_rows` builds one.

    Args:
        members: tokens, those of row 0 first, then those of row 1, ...
        offsets: where each row begins in `members`. Every row has a member.
        weights: share of each member in its row, one in total; None = the plain mean.
    """

    members: Members
    offsets: Int[Tensor, "batch rows"]
    weights: Weights | None = None

    @classmethod
    def from_rows(
        cls, rows: Members, length: int, members: Members | None = None, weights: Weights | None = None
    ) -> Grouping:
        """Build from memberships in any order.

        rows: the row in [0, length) of each membership; members: its token, None means 0, 1, ..., M-1;
        weights: positive, normalised here; None = equal.

        Raises:
            ValueError: if a row has no member; on a GPU, which would have to be waited for, nobody looks.
        """
        counts = torch.zeros(rows.shape[0], length, dtype=torch.int64, device=rows.device)
        counts.scatter_add_(1, rows, torch.ones_like(rows))
        if not rows.is_cuda and bool((counts == 0).any()):
            raise ValueError(f"every one of the {length} rows needs a member")
        order = rows.argsort(dim=1, stable=True)
        if weights is not None:
            total = weights.new_zeros(rows.shape[0], length).scatter_add(1, rows, weights)
            weights = (weights / total.gather(1, rows)).gather(1, order)
        ordered = order if members is None else members.gather(1, order)
        return cls(ordered, counts.cumsum(1) - counts, weights)

    @property
    def length(self) -> int:
        """R, the number of rows."""
        return self.offsets.shape[1]

    def merge(self, x: Heads) -> Float[Tensor, "batch heads rows head_dim"]:
        """Mean of each row's members, dtype kept.

        Sums are taken in float32 or better, so that half precision loses nothing in large groups.
        """
        wide = torch.promote_types(x.dtype, torch.float32)
        return torch.stack([self._merge_one(x[b].to(wide), b) for b in range(x.shape[0])]).to(x.dtype)

    def _merge_one(
        self, x: Float[Tensor, "heads tokens head_dim"], b: int
    ) -> Float[Tensor, "heads rows head_dim"]:
        heads, tokens, width = x.shape
        # Bags of long rows (heads and features together): deterministic and much faster than scatter_add.
        table = x.transpose(0, 1).reshape(tokens, heads * width)
        share = None if self.weights is None else self.weights[b].to(x.dtype)
        mode = "mean" if share is None else "sum"
        bags = embedding_bag(self.members[b], table, self.offsets[b], mode=mode, per_sample_weights=share)
        return bags.view(self.length, heads, width).transpose(0, 1)


@dataclass(frozen=True)
class Plan:
    """What one attention call does with N tokens.

    Args:
        tokens: N.
        keys: how keys and values become Nk rows.
        sizes: original tokens that each key row stands for. They sum to N: a token that
            appears in two rows counts one half in each.
        queries: how queries become Nq rows; None leaves the N queries alone.
        output_rows: the query row whose output each token receives; None with queries=None.
        size_bias: whether log sizes are added to the logits (ToMe's proportional attention).
        sources, destinations: token merged and the token it was merged into.
    """

    tokens: int
    keys: Grouping
    sizes: Float64[Tensor, "batch keys"]
    queries: Grouping | None = None
    output_rows: Int[Tensor, "batch tokens"] | None = None
    size_bias: bool = False
    sources: Pairs | None = None
    destinations: Pairs | None = None

    def __post_init__(self) -> None:
        if (self.queries is None) != (self.output_rows is None):
            raise ValueError("queries and output_rows belong together: give both or neither")

    def merge_queries(self, q: Heads) -> QueryRows:
        """Nq query rows from those of all N tokens."""
        return q if self.queries is None else self.queries.merge(q)

    def merge_keys(self, k: Heads) -> KeyRows:
        """Nk rows from those of all N tokens, for keys and for values alike."""
        return self.keys.merge(k)

    def merge(self, q: Heads, k: Heads, v: Heads) -> tuple[QueryRows, KeyRows, KeyRows]:
        """Queries, keys and values of the rows from those of all N tokens."""
        return self.merge_queries(q), self.merge_keys(k), self.merge_keys(v)

    def unmerge(
        self, y: Float[Tensor, "batch *heads queries width"]
    ) -> Float[Tensor, "batch *heads tokens width"]:
        """Each token gets its row, with or without an axis of heads."""
        if self.output_rows is None:
            return y
        return torch.stack([y[b].index_select(-2, self.output_rows[b]) for b in range(y.shape[0])])

    @property
    def log_sizes(self) -> Float64[Tensor, "batch keys"] | None:
        """To add to the logits of every query, or None without size bias."""
        return self.sizes.log() if self.size_bias else None

    @property
    def query_length(self) -> int:
        """Nq, the number of query rows."""
        return self.tokens if self.queries is None else self.queries.length

    @property
    def key_length(self) -> int:
        """Nk, the number of key rows."""
        return self.keys.length

    @property
    def kept(self) -> float:
        """Nk / N, the fraction of keys that really remained."""
        return self.key_length / self.tokens

    @property
    def pairs(self) -> int:
        """Nq * Nk, the query-key pairs of one head."""
        return self.query_length * self.key_length


class MergingRule(Protocol):
    """Anything that turns block features into a plan; all that a model asks for."""

    def plan(self, x: Features, layout: TokenLayout) -> Plan | None:
        """Plan for features `x`, the normalised input of a global block; None = merge nothing."""
        ...


class RegisteredRule(ABC):
    """A rule with a name in `lib.merging.RULES`: what experiments ask beyond plans.

    It is made by `rule(m, seed=…, size_bias=…)` and is a value (a frozen dataclass).

    Attributes:
        adaptive: its first argument is a tolerance and the ratio follows from the tokens; m otherwise.
        saturates: asked for more than it can merge it merges what it can; False refuses.
    """

    adaptive: ClassVar[bool] = False
    saturates: ClassVar[bool] = False

    @abstractmethod
    def plan(self, x: Features, layout: TokenLayout) -> Plan | None:
        """See `MergingRule.plan`."""

    @abstractmethod
    def largest_m(self, layout: TokenLayout) -> float:
        """Largest m that the rule can be asked for and reaches on this layout."""

    @abstractmethod
    def unprotected(self) -> Self:
        """The same rule that protects no token, as far as it can do without."""

    def kept(self, layout: TokenLayout) -> float:
        """N'/N of the keys, before any features are known.

        Raises:
            ValueError: it follows from the features, or m is out of reach.
        """
        raise ValueError(f"what {type(self).__name__} keeps is known only once it has seen the features")

    def kept_pairs(self, layout: TokenLayout) -> float:
        """Share of the query-key pairs that remains; raises as `kept`. Here queries merge as keys do."""
        return self.kept(layout) ** 2

    @abstractmethod
    def scored_pairs(self, layout: TokenLayout) -> float:
        """Pairs of a source and a destination whose similarity one plan computes, for one scene."""

    def matching_operations(self, layout: TokenLayout, width: int) -> float:
        """Multiplications and additions of choosing one plan from features of `width` channels."""
        return 2 * width * self.scored_pairs(layout)


def check_strength(m: float) -> None:
    """Refuse a fusion strength outside [0, 1).

    Raises:
        ValueError: naming it.
    """
    if not 0.0 <= m < 1.0:
        raise ValueError(f"m must lie in [0, 1), got {m}")

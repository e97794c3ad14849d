"""A bias on the logits of frame 0's keys that keeps its share of global attention in a longer sequence."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from book.study.head_laws import restoring_factor
from lib.merging import MergingRule, Plan, TokenLayout
from lib.merging.plan import Grouping


@dataclass(frozen=True)
class Anchored:
    """ln((S−1)/(frames−1)) on the logits of frame 0's keys: each counts as that many.

    With nothing else this keeps the odds of frame 0 against all other frames at what they would be in a
    sequence of `frames` frames > 1, whatever the logits are. rule: merging below it, None = none. Shorter
    sequences stay.
    """

    frames: float
    rule: MergingRule | None = None

    def __post_init__(self) -> None:
        if not 1 < self.frames < math.inf:
            raise ValueError(f"frames must be above 1, got {self.frames}")

    def plan(self, x: Tensor, layout: TokenLayout) -> Plan | None:
        """The plan of `rule` (or one that merges nothing) with frame 0's keys weighted."""
        inner = None if self.rule is None else self.rule.plan(x, layout)
        if layout.frames <= self.frames:
            return inner
        if inner is None:
            everything = torch.arange(layout.tokens, device=x.device).expand(x.shape[0], -1)
            keys = Grouping.from_rows(everything, layout.tokens)
            inner = Plan(layout.tokens, keys, torch.ones_like(everything, dtype=torch.float64))
        first = torch.zeros(x.shape[0], 1, layout.tokens, 1, dtype=torch.float64, device=x.device)
        first[:, :, : layout.tokens_per_frame] = math.log(restoring_factor(layout.frames, self.frames))
        weights = inner.merge_keys(first)[:, 0, :, 0].exp()  # a row with members elsewhere: in between
        base = inner.sizes if inner.size_bias else torch.ones_like(inner.sizes)
        return replace(inner, sizes=base * weights, size_bias=True)

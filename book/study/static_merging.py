"""Merging applied to the tokens of an unmerged run: what it does to the matrix, not yet to the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from lib.merging import MergingRule
from lib.vggt import VGGT, AttentionEvent, Observer


@dataclass(frozen=True)
class StaticMerging:
    """Shows `observer` each global block of an *unmerged* run as `rule` would have merged it there.

    The rule plans from the same normalised tokens that the block saw; queries, keys and values are merged,
    the tokens go on unmerged. So the readings hold the static part of the effect of merging (T8 of the book),
    and those of a merged run minus these the dynamic part. `update` of the events stays that of the run.
    """

    model: VGGT
    rule: MergingRule
    observer: Observer

    def observe(self, event: AttentionEvent) -> None:
        """Merge one event and pass it on; frame attention is passed on as it is.

        Raises:
            ValueError: the block was merged already.
        """
        if event.kind != "global" or event.layout is None:
            self.observer.observe(event)
            return
        if event.plan is not None:
            raise ValueError("static merging needs an unmerged run; this one merges: pass merging=None")
        with torch.inference_mode():
            normed = self.model.aggregator.global_blocks[event.layer].norm1(event.x)  # type: ignore[operator]
            plan = self.rule.plan(normed, event.layout)
        if plan is not None:
            q, k, v = plan.merge(event.q, event.k, event.v)
            event = replace(event, q=q, k=k, v=v, plan=plan)
        self.observer.observe(event)


@dataclass(frozen=True)
class Observers:
    """Several observers of one run, called in order."""

    each: Sequence[Observer]

    def observe(self, event: AttentionEvent) -> None:
        """Show the event to each."""
        for observer in self.each:
            observer.observe(event)

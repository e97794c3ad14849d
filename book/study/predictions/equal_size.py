"""Effective rank against a null of equal size, and split in both orders: T7 and T8 on real matrices.

Dense: every head and block of a small model, one N × N matrix at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from book.study.predictions.heads import Rule
from book.study.static_merging import Observers, StaticMerging
from lib.run import forward
from lib.spectra import dense_measures
from lib.vggt import VGGT, AttentionEvent, LogitScale

Arrays = dict[str, NDArray[np.float64]]
NULL_STRENGTHS = (0.2, 0.9)  # weak merging, and saturation of the released rule
SUBSETS = 2  # random subsets of a size


def mean_rank(q: Tensor, k: Tensor, scale: float, log_sizes: Tensor | None = None) -> float:
    """Effective rank of the attention of queries and keys (heads, rows, D), mean over heads."""
    logits = scale * q.float() @ k.float().mT
    a = torch.softmax(logits if log_sizes is None else logits + log_sizes.float(), -1)
    return float(np.mean([dense_measures(head).effective_rank for head in a]))


@dataclass
class EqualSize:
    """Observer of an unmerged run: rank of the matrix among merged tokens, and of as many random tokens.

    rows: per global block (strengths, 2): static merging without size bias, random subsets of N' tokens.
    """

    model: VGGT
    rule: Rule
    seed: int
    rows: list[NDArray[np.float64]] = field(default_factory=list)

    def observe(self, event: AttentionEvent) -> None:
        """Read a global block."""
        if event.kind != "global" or event.layout is None:
            return
        generator = torch.Generator().manual_seed(self.seed)
        found = []
        with torch.inference_mode():
            normed = self.model.aggregator.global_blocks[event.layer].norm1(event.x)  # type: ignore[operator]
            q, k = event.q[0].cpu(), event.k[0].cpu()
            for m in NULL_STRENGTHS:
                plan = self.rule(m, self.seed, False).plan(normed, event.layout)
                assert plan is not None
                merged = mean_rank(plan.merge_queries(event.q)[0], plan.merge_keys(event.k)[0], event.scale)
                tokens = [torch.randperm(q.shape[1], generator=generator) for _ in range(SUBSETS)]
                subsets = [t[: plan.key_length] for t in tokens]
                null = np.mean([mean_rank(q[:, t], k[:, t], event.scale) for t in subsets])
                found.append((merged, float(null)))
        self.rows.append(np.array(found))


@dataclass
class FullRank:
    """Observer: rank of each global block's matrix among all tokens, merged or not, and as it was merged.

    rows: per block (2,): r(0; X) and r(m; X), with the size bias of the run.
    """

    rows: list[tuple[float, float]] = field(default_factory=list)

    def observe(self, event: AttentionEvent) -> None:
        """Read a global block."""
        if event.kind == "global":
            with torch.inference_mode():
                bias = None if event.plan is None else event.plan.log_sizes
                own = mean_rank(event.q[0], event.k[0], event.scale, None if bias is None else bias[0])
                plain = event.plan is None
                every = own if plain else mean_rank(event.q_full[0], event.k_full[0], event.scale)
            self.rows.append((every, own))


def both_orders(
    model: VGGT, images: Tensor, rule: Rule, m: float, seed: int, scale: LogitScale | None = None
) -> Arrays:
    """split.ranks (2, blocks, 4): r(0;X₀), r(m;X₀), r(0;X_m), r(m;X_m), without and with size bias (T8)."""
    plain, static = FullRank(), [FullRank(), FullRank()]
    rules = [rule(m, seed, bias) for bias in (False, True)]
    watching = [StaticMerging(model, r, s) for r, s in zip(rules, static, strict=True)]
    forward(model, images, probe=Observers([plain, *watching]), logit_scale=scale, heads=())
    found = []
    for r, s in zip(rules, static, strict=True):
        moved = FullRank()
        forward(model, images, r, moved, logit_scale=scale, heads=())
        columns = (np.array(plain.rows)[:, 0], np.array(s.rows)[:, 1], *np.array(moved.rows).T)
        found.append(np.stack(columns, -1))
    return {"split.ranks": np.stack(found)}

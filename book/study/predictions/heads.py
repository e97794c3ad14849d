"""What real heads do to the spread, from one unmerged pass: T2′ and T5′ on every block.

Nothing is fitted: values, output maps and LayerScale are the network's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from book.study.head_laws import Update, first_change, log_odds, pull_change
from book.study.predictions.blocks import attention_branch, key_weights, mean_square
from lib.merging import MergingRule, Plan
from lib.vggt import VGGT, AttentionEvent
from lib.vggt.layers import Attention, Block, LayerScale

STRENGTHS, DRAWS = (0.3, 0.5), 3  # of the rule, without size bias
Rule = Callable[[float, int, bool], MergingRule]  # m, seed, size bias


def parts_of(model: VGGT, event: AttentionEvent) -> tuple[Block, Attention, LayerScale]:
    """The block that an event is of, its attention and the LayerScale after it."""
    blocks = model.aggregator.global_blocks if event.kind == "global" else model.aggregator.frame_blocks
    block = blocks[event.layer]
    assert isinstance(block, Block)
    return block, block.attn, block.ls1


def uniform_update(model: VGGT, event: AttentionEvent) -> Tensor:
    """Λ(W_O v̄ + b_O): the update (B, N, C) if every query attended to all keys alike."""
    _, attention, scale = parts_of(model, event)
    update: Tensor = scale(attention.proj(event.v.float().mean(2).flatten(1)))
    return update[:, None].expand_as(event.x)


@dataclass
class Odds:
    """Observer: what each branch does to the odds of an unmerged run, measured and by T2′.

    rows: per block, frame and global in their order, (7,): ln odds entering; their change by attention as
    measured, with uniform attention, by the signed law with κ and ν measured, with V = I; the change by the
    MLP, measured; 1 for global.
    """

    model: VGGT
    rows: list[list[float]] = field(default_factory=list)

    def observe(self, event: AttentionEvent) -> None:
        """Read a block."""
        block, _, _ = parts_of(self.model, event)
        with torch.inference_mode(), torch.autocast(event.x.device.type, enabled=False):
            x, update = (t.float().flatten(0, 1) for t in (event.x, event.update))
            uniform = uniform_update(self.model, event).flatten(0, 1)
            after = x + update
            change = block.ls2(block.mlp(block.norm2(after)))
        start, moved = log_odds(x), log_odds(after)
        step = float(update.square().mean().sqrt() / x.square().mean().sqrt())
        attention = [moved - start, log_odds(x + uniform) - start, Update.of(x, update).log_odds_change]
        unsigned = 2 * np.log1p(step)
        mlp = log_odds(after + change) - moved
        self.rows.append([start, *attention, unsigned, mlp, float(event.kind == "global")])


@dataclass
class FirstChange:
    """Observer: the first change of the spread by merging, measured and predicted, in each global block.

    rows: per block (strengths, draws, 5): change of the spread after the attention branch; predicted with
    the real attention reweighted (T5′), with uniform attention, with V = I, by the sign of T5
    (|M|² − |M_w|²). spreads: after the unmerged branch. Memory O(N²) for one head.
    """

    model: VGGT
    rule: Rule
    seed: int
    rows: list[NDArray[np.float64]] = field(default_factory=list)
    spreads: list[float] = field(default_factory=list)

    def observe(self, event: AttentionEvent) -> None:
        """Read a global block."""
        if event.kind != "global" or event.layout is None:
            return
        block, _, _ = parts_of(self.model, event)
        found = np.zeros((len(STRENGTHS), DRAWS, 5))
        with torch.inference_mode(), torch.autocast(event.x.device.type, enabled=False):
            x = event.x.float()
            plain, normed = attention_branch(block, event, None), block.norm1(x)
            self.spreads.append(1 - mean_square((x + plain)[0]))
            for place in np.ndindex(found.shape[:2]):
                m, seed = STRENGTHS[place[0]], self.seed + place[1]
                plan = self.rule(m, seed, False).plan(normed, event.layout)
                found[place] = 0 if plan is None else self._case(event, plain, plan)
        self.rows.append(found)

    def _case(self, event: AttentionEvent, plain: Tensor, plan: Plan) -> list[float]:
        block, attention, scale = parts_of(self.model, event)
        x, v = event.x.float()[0], event.v.float()[0]
        weights = key_weights(plan)
        after = x + plain[0]
        merged = x + attention_branch(block, event, plan)[0]
        heads = zip(event.q.float()[0], event.k.float()[0], v, strict=True)
        real = torch.cat([reweighted(q, k, w, weights, event.scale) for q, k, w in heads], dim=-1)
        mean = torch.einsum("n,hnd->hd", weights.float(), v) - v.mean(1)
        uniform = mean.flatten().expand(len(x), -1)
        predicted = [first_change(after, scale(y @ attention.proj.weight.T)) for y in (real, uniform)]
        longer = mean_square(x, weights) - mean_square(x)
        measured = mean_square(after) - mean_square(merged)
        return [measured, *predicted, pull_change(x, weights), -longer]


def reweighted(q: Tensor, k: Tensor, v: Tensor, weights: Tensor, scale: float) -> Tensor:
    """Change of one head's output (N, D) when key j weighs N·weights_j: queries, keys, values (N, D)."""
    a = torch.softmax(scale * q @ k.T, -1)
    tilted = a * (len(weights) * weights.to(a.dtype))
    return (tilted / tilted.sum(-1, keepdim=True) - a) @ v


def clear_cases(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(cases, 5): means over draws of rows (…, draws, 5) whose change exceeds its deviation between draws."""
    means, deviation = rows.mean(-2), rows[..., 0].std(-1, ddof=1)
    clear: NDArray[np.float64] = means[np.abs(means[..., 0]) > deviation]
    return clear


def signs_right(predicted: Sequence[float] | NDArray[np.float64], measured: NDArray[np.float64]) -> float:
    """Share of signs that agree."""
    return float((np.sign(predicted) == np.sign(measured)).mean())

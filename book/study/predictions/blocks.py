"""Single global blocks of an unmerged run, taken apart: predictions P2, P3 and P4.

Everything is computed in float32 on the queries, keys, values and tokens that the block really had.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from book.study.predictions.profiles import STEP, WEAK, Arrays, Undefined
from lib.merging import MergingRule, Plan, TokenLayout, UniformRule
from lib.vggt import VGGT, AttentionEvent
from lib.vggt.layers import Block, softmax_attention

RADII = (1.0, 0.5, 0.25, 0.125, 0.0625)  # of the groups of P3, against those that the block really has
SIGN_STRENGTHS = (0.3, 0.5)  # of P4
SIGN_DRAWS = 3  # seeds of the rule in P4


def duplicated_change(q: Tensor, k: Tensor, v: Tensor, count: int, scale: float) -> float:
    """‖y' − y‖/‖y‖ of the attention output when keys and values (B, heads, N, D) come `count` times."""
    y = softmax_attention(q, k, v, None, scale)
    again = softmax_attention(q, k.repeat(1, 1, count, 1), v.repeat(1, 1, count, 1), None, scale)
    return float((again - y).norm() / y.norm())


def shrunk(x: Tensor, plan: Plan, radius: float) -> Tensor:
    """Tokens x (B, heads, N, D) drawn towards the mean of their group until it has `radius` of its size."""
    means = plan.unmerge(plan.merge_keys(x))
    return means + radius * (x - means)


def merge_error(q: Tensor, k: Tensor, v: Tensor, plan: Plan, scale: float) -> float:
    """‖merged − exact‖/‖exact‖ of the attention output, the groups of `plan` disjoint (P3)."""
    exact = softmax_attention(q, k, v, None, scale)
    y = plan.unmerge(softmax_attention(*plan.merge(q, k, v), plan, scale))
    return float((y - exact).norm() / exact.norm())


def key_weights(plan: Plan, item: int = 0) -> Tensor:
    """w_i = Σ_{g∋i} 1/(N'|g|): what token i weighs in the mean of the merged keys; (N,) float64, sum one."""
    members, offsets = plan.keys.members[item], plan.keys.offsets[item]
    ends = torch.cat([offsets[1:], offsets.new_tensor([len(members)])])
    sizes = (ends - offsets).double()
    weights = torch.zeros(plan.tokens, dtype=torch.float64, device=members.device)
    share = (1 / (plan.key_length * sizes)).repeat_interleave(ends - offsets)
    return weights.index_add(0, members, share)


def mean_square(x: Tensor, weights: Tensor | None = None) -> float:
    """|M_w|² of the directions of tokens x (N, C); equal weights give |M|² = R²."""
    directions = normalize(x.double(), dim=-1)
    mean = directions.mean(0) if weights is None else weights @ directions
    return float(mean.square().sum())


def attention_branch(block: Block, event: AttentionEvent, plan: Plan | None) -> Tensor:
    """What the attention branch of `block` adds to the tokens of an unmerged event, (B, N, C) float32."""
    q, k, v = event.q.float(), event.k.float(), event.v.float()
    return block.ls1(block.attn.attend(q, k, v, plan, event.scale))  # type: ignore[no-any-return]


@dataclass
class Blocks:
    """Observer that takes every global block of an unmerged run apart.

    model: whose run it is. rule: rule(m, seed) without size bias, for P4. m: strength of the groups of P3,
    made by `UniformRule`, whose groups are disjoint. seed: first of the rule's seeds. Memory O(N).
    """

    model: VGGT
    rule: Callable[[float, int], MergingRule]
    m: float
    seed: int
    rows: list[dict[str, NDArray[np.float64]]] = field(default_factory=list)

    def observe(self, event: AttentionEvent) -> None:
        """Measure one block."""
        if event.kind != "global" or event.layout is None:
            return
        block = self.model.aggregator.global_blocks[event.layer]
        assert isinstance(block, Block)
        with torch.inference_mode(), torch.autocast(event.x.device.type, enabled=False):
            normed = block.norm1(event.x.float())
            q, k, v = event.q.float(), event.k.float(), event.v.float()
            row = {"copies_change": np.array(duplicated_change(q, k, v, STEP, event.scale))}
            row["errors"] = self._errors(event, normed)
            row["length"], row["change"] = self._signs(block, event, normed)
            self.rows.append(row)

    def _errors(self, event: AttentionEvent, normed: Tensor) -> NDArray[np.float64]:
        """(2, radii): keys and values merged; queries too."""
        layout = event.layout
        assert layout is not None
        rule = UniformRule(self.m, size_bias=True, seed=self.seed)
        reachable = round(self.m * layout.tokens) <= round(rule.largest_m(layout) * layout.tokens)
        plan = rule.plan(normed, layout) if reachable else None
        if plan is None:
            return np.full((2, len(RADII)), np.nan)
        found, keys_only = [], replace(plan, queries=None, output_rows=None)
        for radius in RADII:
            q, k, v = (shrunk(t.float(), plan, radius) for t in (event.q, event.k, event.v))
            alone = merge_error(event.q.float(), k, v, keys_only, event.scale)
            found.append((alone, merge_error(q, k, v, plan, event.scale)))
        return np.array(found).T

    def _signs(
        self, block: Block, event: AttentionEvent, normed: Tensor
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(strengths, draws): |M_w|² − |M|², and the change of the spread after the attention branch."""
        x = event.x.float()
        before = mean_square(x[0])
        plain = mean_square((x + attention_branch(block, event, None))[0])
        length = np.full((len(SIGN_STRENGTHS), SIGN_DRAWS), np.nan)
        change = length.copy()
        assert event.layout is not None
        for place in np.ndindex(length.shape):
            plan = _plan(self.rule(SIGN_STRENGTHS[place[0]], self.seed + place[1]), normed, event.layout)
            if plan is not None:
                length[place] = mean_square(x[0], key_weights(plan)) - before
                merged = x + attention_branch(block, event, plan)
                change[place] = plain - mean_square(merged[0])  # of the spread, 1 − R²
        return length, change

    def arrays(self) -> Arrays:
        """Name -> (blocks, …): copies_change, errors (2, radii), length and change (strengths, draws)."""
        return {name: np.stack([row[name] for row in self.rows]) for name in self.rows[0]}


def _plan(rule: MergingRule, x: Tensor, layout: TokenLayout) -> Plan | None:
    try:
        return rule.plan(x, layout)
    except ValueError:  # a strength that this rule cannot reach for this layout
        return None


def copies_change(arrays: Arrays) -> float:
    """P2. Keys and values of all heads of a block four times; largest over blocks and scenes, float32."""
    return float(arrays["blocks.copies_change"].max())


def _slope(arrays: Arrays, which: int, part: slice) -> float:
    errors = arrays["blocks.errors"][:, :, which]  # (scenes, blocks, radii)
    if not (errors > 0).all():  # NaN is not
        raise Undefined("no groups at this strength, or an error of exactly zero, which has no logarithm")
    logs = np.log(errors.reshape(-1, len(RADII)))[:, part]
    return float(np.polyfit(np.log(RADII[part]), logs.T, 1)[0].mean())


def slope_keys(arrays: Arrays) -> float:
    """P3a. Groups of `UniformRule` at m, drawn together to ½, ¼, ⅛ and 1/16 of their real radius around their
    means; least-squares slope of each block, mean over blocks and scenes."""
    return _slope(arrays, 0, slice(1, None))


def slope_queries(arrays: Arrays) -> float:
    """P3b. The same with queries merged too."""
    return _slope(arrays, 1, slice(1, None))


def slope_keys_at_full_size(arrays: Arrays) -> float:
    """Beside P3a: the slope between half and the whole real radius."""
    return _slope(arrays, 0, slice(0, 2))


def sign_cases(arrays: Arrays) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cases of P4: mean over draws of |M_w|² − |M|² and of the change of the spread, (cases,) each.

    One case is a block of a scene at a strength. It counts where the block's self-attention (mean over tokens
    and heads, that scene) is below 0.1 and the change exceeds the standard deviation between draws.
    """
    length, change = arrays["blocks.length"], arrays["blocks.change"]  # (scenes, blocks, strengths, draws)
    weak = (arrays["few.self_mass"].mean(2) < WEAK)[:, :, None]
    means = change.mean(-1)
    clear = weak & (np.abs(means) > change.std(-1, ddof=1))  # NaN is never clear
    return length.mean(-1)[clear], means[clear]


def sign_right(arrays: Arrays) -> float:
    """P4. m = 0.3 and 0.5, three draws of the rule, every fourth frame. Raises Undefined without a case."""
    length, change = sign_cases(arrays)
    if not len(length):
        raise Undefined("no block with weak self-attention changes by more than the noise between draws")
    return float(((change < 0) == (length > 0)).mean())

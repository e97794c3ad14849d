"""What merging would do to the reader's frames, forecast from one unmerged pass, and what follows from it.

The forecast is static: every rule plans from the tokens of the unmerged run, its attention is computed on
them, and the tokens go on unmerged. What later blocks make of an earlier block's error is not in it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lib.merging import RULES, MergingRule, Plan, RegisteredRule, Setting, TokenLayout
from lib.vggt import VGGT, AttentionEvent
from lib.vggt.layers import Block

STRENGTHS = (0.3, 0.5, 0.7, 0.9)
TOLERANCES = (0.001, 0.003, 0.01, 0.03)
Arrays = dict[str, NDArray[np.float64]]


def considered(layout: TokenLayout, seed: int) -> dict[Setting, RegisteredRule]:
    """Every rule at every strength, with and without size bias; one out of reach becomes the largest.

    And rules with a fixed ratio that protect nothing, without size bias: the safe choices at equal pairs.
    Settings say what was asked for: m, or the tolerance of a rule whose ratio follows the tokens.
    """
    found: dict[Setting, RegisteredRule] = {}
    for options in ({}, {"size_bias": True}, {"protected": False}):
        asked = [(name, m) for m in STRENGTHS for name in RULES if not RULES[name].adaptive]
        if options.get("protected", True):
            asked += [(name, tolerance) for tolerance in TOLERANCES for name in RULES if RULES[name].adaptive]
        for name, m in asked:
            rule = Setting(name, m, **options).merging(seed)
            assert rule is not None
            if not rule.saturates and (largest := rule.largest_m(layout)) < m:
                rule = Setting(name, largest, **options).merging(seed)
            if rule is not None:
                found[Setting(name, m, **options)] = rule
    return found


@dataclass
class Forecast:
    """Observer of an unmerged run that works out, block by block, what each rule would have changed there.

    layers: blocks it looks at, the last among them; None = all. Cost: for each rule one plan and one merged
    attention a block. After the run `arrays` has the result.
    """

    model: VGGT
    rules: Sequence[MergingRule]
    layers: Collection[int] | None = None
    rows: list[list[tuple[float, ...]]] = field(default_factory=list)
    length: float = 0.0

    def observe(self, event: AttentionEvent) -> None:
        """Read one global block; frame attention is passed over.

        Raises ValueError on a block that was merged already.
        """
        if event.kind != "global" or event.layout is None:
            return
        if self.layers is not None and event.layer not in self.layers:
            return
        if event.plan is not None:
            raise ValueError("a forecast needs an unmerged run; this one merges: pass merging=None")
        block = self.model.aggregator.global_blocks[event.layer]
        assert isinstance(block, Block)
        with torch.inference_mode():
            normed, directions = block.norm1(event.x), functional.normalize(event.x.float(), dim=-1)
            plans = [rule.plan(normed, event.layout) for rule in self.rules]
            self.rows.append([_effect(block, event, directions, plan) for plan in plans])
            self.length = float((event.x + event.update).float().square().sum())

    def arrays(self) -> Arrays:
        """For rules R and layers L, (R, L) unless said otherwise.

        kept, pairs: relative to all. branch_error: |change of the attention branch| / |attention branch|.
        driving: |M_w|^2 - |M|^2, change of the squared length of the mean direction of the keys; by T5,
        below zero delays the concentration of tokens. deviation (R,): square root of the sum over layers
        of |change of the branch|^2, over the length of all tokens after the last attention: what the output
        would deviate by if the blocks' errors were independent and passed on as they are. Blocks that were
        not looked at count like the mean of those that were.
        """
        table = np.array(self.rows).transpose(2, 1, 0)  # (numbers, R, L)
        names = ("kept", "pairs", "branch_error", "driving")
        deviation = np.sqrt(self.model.config.depth * table[4].mean(axis=1) / self.length)
        return dict(zip(names, table, strict=False)) | {"deviation": deviation}


def _effect(block: Block, event: AttentionEvent, directions: Tensor, plan: Plan | None) -> tuple[float, ...]:
    """kept, relative pairs, branch error, driving, squared change of the branch."""
    if plan is None:
        return 1.0, 1.0, 0.0, 0.0, 0.0
    change = float((merged_update(block, event, plan) - event.update).float().square().sum())
    rows = plan.merge_keys(directions[:, None])[:, 0]  # (B, Nk, C)
    weight = (plan.sizes if plan.size_bias else torch.ones_like(plan.sizes)).to(rows)
    mean = (weight[..., None] * rows).sum(1) / weight.sum(1, keepdim=True)
    driving = float((mean.square().sum(-1) - directions.mean(1).square().sum(-1)).mean())
    relative = math.sqrt(change / float(event.update.float().square().sum()))
    return plan.kept, plan.pairs / plan.tokens**2, relative, driving, change


def merged_update(block: Block, event: AttentionEvent, plan: Plan) -> Tensor:
    """The attention branch (B, N, C) of an unmerged event as `plan` would have made it, after LayerScale."""
    update: Tensor = block.ls1(block.attn.attend(event.q, event.k, event.v, plan, event.scale))
    return update


@dataclass(frozen=True)
class Advice:
    """chosen: index of the recommended setting, None for "do not merge". saved: share of the operations of
    the alternating blocks that it saves. because: one sentence.
    """

    chosen: int | None
    saved: float
    because: str


def recommend(
    deviation: NDArray[np.float64], saved: NDArray[np.float64], tolerance: float, least_gain: float
) -> Advice:
    """The setting that saves most among those forecast to deviate by no more than `tolerance`.

    Args:
        deviation, saved: (R,) of each setting. tolerance: largest forecast deviation.
        least_gain: smallest share of the operations worth the trouble.

    Raises:
        ValueError: a threshold that is not in [0, 1].
    """
    for name, value in (("tolerance", tolerance), ("least_gain", least_gain)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie in [0, 1], got {value}")
    if saved.max() < least_gain:
        why = f"no rule saves {least_gain:.0%} of the operations: attention is too small a part of them"
        return Advice(None, 0.0, why)
    allowed = np.flatnonzero((deviation <= tolerance) & (saved >= least_gain))
    if len(allowed) == 0:
        why = f"all that save {least_gain:.0%} are forecast to move the tokens by more than {tolerance:.0%}"
        return Advice(None, 0.0, why)
    # of settings that save the same, the one that errs least
    best = int(min(allowed, key=lambda i: (-round(float(saved[i]), 6), float(deviation[i]))))
    why = f"it saves most of all that are forecast to move the tokens by at most {tolerance:.0%}"
    return Advice(best, float(saved[best]), why)

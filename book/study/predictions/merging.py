"""Merged runs at many strengths, and the predictions that they decide: P5, P6, P7 and P13.

All on every fourth frame. r is the effective rank of the N' × N' matrix among merged tokens, averaged over
the heads and blocks that are read (`chosen`): all of a small model, a sample of a large one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from book.study.predictions.profiles import Arrays, Profile, Undefined
from book.study.static_merging import Observers, StaticMerging
from lib.merging import FastVGGTRule, MergingRule, RegisteredRule, TokenLayout
from lib.probe import attention_operators
from lib.run import forward
from lib.spectra import Budget, spectrum_bracket
from lib.vggt import VGGT, AttentionEvent, LogitScale, Observer

STRENGTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
FITTED = 0.5  # P13: the paper's law is fitted up to here and tested above
SATURATED = (0.7, 0.9)  # P6a
MOST_BLOCKS, MOST_HEADS = 8, 4  # of which spectra are read
READ = ("effective_rank", "size", "stable_rank", "row_entropy")

Rule = Callable[[float, int, bool], RegisteredRule]  # m, seed, size bias


def chosen(count: int, most: int) -> list[int]:
    """At most `most` of 0 … count − 1, evenly spread, both ends among them."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()))


@dataclass
class Ranks:
    """Observer that reads the matrix among (merged) tokens, of chosen global blocks and heads.

    rows: per block (4,): effective rank, its size k, stable rank, mean row entropy (nats); means over heads.
    Dense below 1,500 tokens, else the middle of a bracket within `budget`.
    """

    blocks: Sequence[int]
    heads: Sequence[int]
    seed: int
    budget: Budget = field(default_factory=Budget)
    rows: list[NDArray[np.float64]] = field(default_factory=list)

    @classmethod
    def of(cls, model: VGGT, seed: int) -> Ranks:
        """For all blocks and heads of a small model, a sample of a large one."""
        config = model.config
        return cls(chosen(config.depth, MOST_BLOCKS), chosen(config.heads, MOST_HEADS), seed)

    def observe(self, event: AttentionEvent) -> None:
        """Read one block if it is among the chosen."""
        if event.kind == "global" and event.layer in self.blocks:
            with torch.inference_mode(), torch.autocast(event.x.device.type, enabled=False):
                self.rows.append(np.mean([self._head(event, head) for head in self.heads], axis=0))

    def _head(self, event: AttentionEvent, head: int) -> list[float]:
        operator, _ = attention_operators(event, head)
        found = spectrum_bracket(operator, self.seed, self.budget)
        entropy = float(operator.row_entropies().mean())
        return [found.effective_rank[1], found.size, found.stable_rank, entropy]


def reachable(rule: Rule, layout: TokenLayout) -> tuple[list[float], list[int]]:
    """Strengths to run, and which of these stands for each of `STRENGTHS` (-1: out of reach).

    The released rule is one run beyond its saturation, so the last strength stands for all of those; another
    rule refuses what it cannot reach.
    """
    example = rule(STRENGTHS[0], 0, False)
    largest = example.largest_m(layout)
    within = [m for m in STRENGTHS if round(m * layout.tokens) <= round(largest * layout.tokens)]
    saturates = example.saturates and len(within) < len(STRENGTHS)
    strengths = [*within, STRENGTHS[-1]] if saturates else within
    beyond = len(strengths) - 1 if saturates else -1
    return strengths, [within.index(m) if m in within else beyond for m in STRENGTHS]


def sweep(
    model: VGGT,
    images: Tensor,
    layout: TokenLayout,
    rule: Rule,
    m: float,
    seed: int,
    size_bias: bool,
    logit_scale: LogitScale | None = None,
) -> tuple[list[Observer], Callable[[], Arrays]]:
    """Everything merged runs are needed for, on one scene.

    Returns:
        observers to show the unmerged run to, and a function to call after that run. It makes the merged
        runs and returns arrays: rank.plain (blocks, 4), see `Ranks`; rank.static and rank.merged (strengths,
        blocks, 4), static merging of the unmerged run and the merged run; kept (strengths,) and
        sweep.common (strengths, depth) of the merged run; and for P7 static and merged at `m`, rank.m_static
        and rank.m_merged (2, blocks, 4), without and with size bias. Out of reach: NaN.
    """
    strengths, index = reachable(rule, layout)
    cases = [(a, size_bias) for a in strengths] + [(m, False), (m, True)]
    plain, static = Ranks.of(model, seed), [Ranks.of(model, seed) for _ in cases]
    merging = [
        StaticMerging(model, rule(a, seed, bias), read) for (a, bias), read in zip(cases, static, strict=True)
    ]

    def finish() -> Arrays:
        runs = [_merged(model, images, rule(a, seed, bias), seed, logit_scale) for a, bias in cases]
        ranks = {
            "static": np.stack([r.rows for r in static]),
            "merged": np.stack([r.rows for r, _, _ in runs]),
        }
        common, kept = np.stack([c for _, c, _ in runs]), np.array([k for _, _, k in runs])
        pick = lambda values: _at(values[:-2], index)  # noqa: E731
        found = {f"rank.{name}": pick(values) for name, values in ranks.items()}
        found |= {f"rank.m_{name}": values[-2:] for name, values in ranks.items()}
        return found | {"rank.plain": np.stack(plain.rows), "kept": pick(kept), "sweep.common": pick(common)}

    return [plain, *merging], finish


def _at(values: NDArray[np.float64], index: Sequence[int]) -> NDArray[np.float64]:
    picked = values[index]
    picked[np.array(index) < 0] = np.nan
    return picked


def _merged(
    model: VGGT, images: Tensor, rule: MergingRule, seed: int, scale: LogitScale | None
) -> tuple[Ranks, NDArray[np.float64], float]:
    ranks, profile = Ranks.of(model, seed), Profile(seed)
    prediction = forward(model, images, rule, Observers([ranks, profile]), logit_scale=scale, heads=())
    return ranks, profile.arrays()["common"], float(np.mean(prediction.report.kept))


def saturated_runs(
    model: VGGT, images: Tensor, layout: TokenLayout, seed: int, logit_scale: LogitScale | None = None
) -> float:
    """Largest difference of pose encodings and depths of the released rule at m = 0.7 and 0.9 (P6a).

    NaN where the rule does not saturate below 0.7, or the model predicts neither.
    """
    heads = [name for name in ("camera", "depth") if name in model.available_heads]
    if not heads or FastVGGTRule(SATURATED[0]).largest_m(layout) > SATURATED[0]:
        return math.nan
    one, other = (
        forward(model, images, FastVGGTRule(m, seed=seed), logit_scale=logit_scale, heads=heads)
        for m in SATURATED
    )
    parts = [(a, b) for a, b in ((one.pose_enc, other.pose_enc), (one.depth, other.depth)) if a is not None]
    return max(float((a - b).abs().max()) for a, b in parts if b is not None)


def rank(arrays: Arrays, name: str) -> NDArray[np.float64]:
    """r by scene, and by strength where there are several: mean over blocks."""
    return arrays[f"rank.{name}"][..., 0].mean(-1)


def reached(arrays: Arrays) -> NDArray[np.bool_]:
    """(strengths,) which the rule could reach in every scene."""
    everywhere: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(arrays["kept"]))
    return everywhere


def half_fall(spread: NDArray[np.float64], level: float) -> float:
    """Depth, in blocks from the first (interpolated), at which a profile (blocks,) first falls to `level`.

    inf where it does not.
    """
    below = np.flatnonzero(spread <= level)
    if not len(below):
        return math.inf
    k = int(below[0])
    return float(k - (level - spread[k]) / (spread[k - 1] - spread[k])) if k else 0.0


def delays(arrays: Arrays) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """(points,) ln d and τ' in blocks, each kept fraction once, and τ of the unmerged run (P5).

    Profiles averaged over scenes, on every fourth frame. τ: where the unmerged spread has made half of its
    fall from first to last block; τ': where a merged one reaches the same value, inf where it never does.

    Raises Undefined where the unmerged spread does not fall, or the rule merges nothing.
    """
    plain = 1 - arrays["few.common"].mean(0)
    if not plain[-1] < plain[0]:
        ends = f"{plain[0]:.3f} entering the first, {plain[-1]:.3f} entering the last"
        raise Undefined(f"the unmerged spread does not fall from first to last global block: {ends}")
    level = (plain[0] + plain[-1]) / 2
    use = reached(arrays)
    kept, once = np.unique(arrays["kept"].mean(0)[use], return_index=True)
    merged = 1 - arrays["sweep.common"].mean(0)[use]
    if not (kept < 1).any():
        raise Undefined("the rule merges nothing at any strength")
    return -np.log(kept), np.array([half_fall(merged[i], level) for i in once]), half_fall(plain, level)


def delay_exponent(arrays: Arrays) -> float:
    """P5. Least-squares line through d = 1, τ' = τ (no merging); see `delays`.

    Raises Undefined where a merged run never reaches half of the unmerged fall.
    """
    x, merged, plain = delays(arrays)
    missing = int(np.isinf(merged).sum())
    if missing:
        raise Undefined(f"{missing} of {len(x)} merged profiles never reach half of the unmerged fall")
    return float((x * np.log(merged / plain)).sum() / (x**2).sum())


def delay_exponent_at_least(arrays: Arrays) -> float:
    """Beside P5: the same with the last block in place of a depth that is never reached, a lower bound."""
    x, merged, plain = delays(arrays)
    last = arrays["few.common"].shape[1] - 1
    return float((x * np.log(np.minimum(merged, last) / plain)).sum() / (x**2).sum())


def saturated_difference(arrays: Arrays) -> float:
    """P6a. Pose encodings and depths on every fourth frame, released rule, largest over scenes."""
    values = arrays["saturated"]
    if np.isnan(values).any():
        raise Undefined("the released rule is not saturated at m = 0.7 here, or the model has no heads")
    return float(values.max())


def _turns(start: float, values: NDArray[np.float64]) -> float:
    """Rise of the largest inner value above both ends, over the first: start, inner values, last."""
    if len(values) < 2:
        raise Undefined("no strength lies between none and the largest")
    return float((values[:-1].max() - max(start, values[-1])) / start)


def _up_to_saturation(arrays: Arrays, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (strengths,) at each different kept fraction, weak merging first."""
    kept = arrays["kept"].mean(0)[reached(arrays)]
    return values[reached(arrays)][np.unique(-kept, return_index=True)[1]]


def rank_turns(arrays: Arrays) -> float:
    """P6b. r averaged over scenes, every fourth frame; saturation is the smallest kept fraction."""
    return _turns(
        float(rank(arrays, "plain").mean()), _up_to_saturation(arrays, rank(arrays, "merged").mean(0))
    )


def spread_turns(arrays: Arrays) -> float:
    """P6c. The same for the spread of the tokens entering the last global block."""
    plain = 1 - arrays["few.common"].mean(0)[-1]
    return _turns(plain, _up_to_saturation(arrays, 1 - arrays["sweep.common"].mean(0)[:, -1]))


def parts(arrays: Arrays, size_bias: bool) -> tuple[float, float]:
    """Static and dynamic part of the change of r at the m of the run, averaged over scenes (P7)."""
    plain = rank(arrays, "plain").mean()
    static, merged = (rank(arrays, f"m_{name}")[:, int(size_bias)].mean() for name in ("static", "merged"))
    return float(static - plain), float(merged - static)


def dynamic_share_biased(arrays: Arrays) -> float:
    """P7a. At the m of the run (0.3 by default), every fourth frame."""
    static, dynamic = parts(arrays, True)
    if static + dynamic == 0:
        raise Undefined("the effective rank does not change")
    return abs(dynamic) / abs(static + dynamic)


def static_share_plain(arrays: Arrays) -> float:
    """P7b. The same without size bias."""
    static, dynamic = parts(arrays, False)
    if static == dynamic == 0:
        raise Undefined("the effective rank does not change")
    return abs(static) / (abs(static) + abs(dynamic))


def held_out_errors(arrays: Arrays) -> tuple[float, float]:
    """Mean relative errors of r at m > 0.5: of the static part alone, and of ln r = a + b m (P13).

    Both per scene. The law, with m as asked for (as in the paper's tables), is fitted to that scene's merged
    runs at m ≤ 0.5, m = 0 included. The static part has seen the unmerged run only.
    """
    strengths, use = np.array(STRENGTHS), reached(arrays)
    fit, test = use & (strengths <= FITTED), use & (strengths > FITTED)
    if fit.sum() < 2 or not test.any():
        raise Undefined("the rule reaches too few strengths on either side of m = 0.5")
    plain, static, merged = (rank(arrays, name) for name in ("plain", "static", "merged"))
    known = np.column_stack([plain, merged[:, fit]])
    b, a = np.polyfit([0.0, *strengths[fit]], np.log(known).T, 1)
    law = np.exp(a[:, None] + b[:, None] * strengths[test])
    truth = merged[:, test]
    return tuple(float(np.abs(guess / truth - 1).mean()) for guess in (static[:, test], law))  # type: ignore


def static_over_fitted(arrays: Arrays) -> float:
    """P13. Every fourth frame; strengths beyond the reach of the rule count as the run that it then makes."""
    static, law = held_out_errors(arrays)
    if law == 0:
        raise Undefined("the fitted law makes no error at all")
    return static / law

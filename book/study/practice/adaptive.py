"""Adaptive merging against fixed ratios at equal attention pairs: forecast, measured, and what it costs.

The operating points are those of the released FastVGGT rule, whose kept fraction is known before any
features are; every other rule is set to the same number of query-key pairs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from book.study.practice.advice import Arrays, Forecast
from book.study.static_merging import Observers
from lib.merging import (
    AdaptiveRule,
    FastVGGTRule,
    KeyValueGridRule,
    MergingRule,
    RegisteredRule,
    SplitRule,
    TokenLayout,
    UniformRule,
)
from lib.merging.adaptive import ErrorBudget
from lib.run import Outcome, Params, Setup, prepare, run
from lib.vggt import VGGT, parse_scale
from lib.vggt.layers import AttentionEvent

POINTS = (0.3, 0.9)  # m asked of FastVGGT; the last is saturated
CALIBRATION = ("100", "101", "102")  # test rooms that only set the tolerances
BUDGETS: tuple[ErrorBudget, ...] = ("block", "pair")
ERRORS = ("rotation_from_frame_0", "abs_rel")


@dataclass(frozen=True)
class Contender:
    """A rule at one operating point."""

    name: str
    point: float
    merging: RegisteredRule


@dataclass
class LastTokens:
    """Keeps the tokens (B, N, C) after the last global attention, before its MLP."""

    layer: int
    tokens: Tensor | None = None

    def observe(self, event: AttentionEvent) -> None:
        """Copy them once."""
        if event.kind == "global" and event.layer == self.layer:
            self.tokens = (event.x + event.update).float()


def fixed_contenders(layout: TokenLayout, size_bias: bool, seed: int) -> list[Contender]:
    """Every fixed rule at the pairs of FastVGGT: that rule less its stride, uniform ones, the grid.

    Rules that merge queries and keys keep what FastVGGT keeps; the grid, which leaves the queries alone, its
    square. The split rule, which drops m of the keys and m/2 of the queries, gets the m of equal pairs.
    """
    found = []
    for m in POINTS:
        released = FastVGGTRule(m, seed=seed, size_bias=size_bias)
        less = 1 - released.kept(layout)
        uniform = UniformRule(less, seed=seed, size_bias=size_bias)
        split = 1.5 - math.sqrt(0.25 + 2 * (1 - less) ** 2)  # (1 - m)(1 - m/2) = (1 - less)²
        rules: dict[str, RegisteredRule] = {
            "FastVGGT": released,
            "FastVGGT, no stride": FastVGGTRule(less, seed=seed, size_bias=size_bias).unprotected(),
            "uniform": uniform,
            "uniform, nothing protected": uniform.unprotected(),
            "grid": KeyValueGridRule(1 - (1 - less) ** 2, seed=seed, size_bias=size_bias),
            "split": SplitRule(split, seed=seed, size_bias=size_bias),
        }
        found += [Contender(name, m, rule) for name, rule in rules.items()]
    return found


def calibrate(
    setups: Sequence[Setup], template: AdaptiveRule, target: float, steps: int = 7, least: float = 1e-3
) -> float:
    """Tolerance at which merged runs need a given share of all query-key pairs, averaged over scenes.

    Bisection of ln(tolerance) between `least` and 4; after the default steps it is known to 7 %.

    Args:
        setups: scenes. template: the rule, its tolerance ignored. target: share of the pairs, in (0, 1].

    Returns:
        The smallest tolerance tried that needs no more pairs than asked, or 4 where none does.
    """
    low, high = math.log(least), math.log(4.0)
    for _ in range(steps):
        middle = (low + high) / 2
        rule = replace(template, tolerance=math.exp(middle))
        enough = np.mean([_pairs(setup, rule) for setup in setups]) <= target
        low, high = (low, middle) if enough else (middle, high)
    return min(4.0, math.exp(high))


def _pairs(setup: Setup, rule: MergingRule) -> float:
    """Relative pairs of one run of the alternating blocks."""
    images = setup.sequence.images[None].to(setup.params.device)
    scale = parse_scale(setup.params.logit_scale)
    with torch.inference_mode():
        _, report = setup.model.aggregator(images, keep=set(), merging=rule, logit_scale=scale)
    return float(report.pairs / report.pairs_plain)


def contenders(params: Params, model: VGGT, rooms: Sequence[str] = CALIBRATION) -> list[Contender]:
    """Fixed and adaptive rules at equal pairs; tolerances are set on other rooms of the same kind of walk.

    A recording has no other rooms: there they are set on the first scene of the range itself.
    """
    first = params.each_scene()[0]
    kind = first.scene.split(":")[0]
    names = [f"{kind}:{room}" for room in rooms] if ":" in first.scene else [first.scene]
    setups = [prepare(replace(first, scene=name, m=0.0), model) for name in names]
    layout = setups[0].layout
    fixed = fixed_contenders(layout, params.size_bias, params.seed)
    kept = {m: FastVGGTRule(m, seed=params.seed).kept(layout) for m in POINTS}
    found = list(fixed)
    for budget in BUDGETS:
        template = AdaptiveRule(0.0, budget, seed=params.seed, size_bias=params.size_bias)
        for m in POINTS:
            rule = replace(template, tolerance=calibrate(setups, template, kept[m] ** 2))
            found.append(Contender(f"adaptive, {budget}", m, rule))
    return found


@dataclass(frozen=True)
class Comparison:
    """arrays over (scenes, rules); rule 0 is the unmerged run. seconds: (scenes, rules) of processor time.

    arrays: deviation (|difference of the last tokens from the unmerged run| / |last tokens|), forecast (the
    same, forecast by `Forecast`), pairs (relative), kept (scenes, rules, layers), and each of `ERRORS`, NaN
    where the truth is not known. unit of errors: degrees, 1.
    """

    arrays: Arrays
    seconds: NDArray[np.float64]


def compare(params: Params, model: VGGT, rules: Sequence[Contender]) -> Comparison:
    """Run every rule on every scene of the range."""
    rows = [_scene(prepare(replace(p, m=0.0), model), rules) for p in params.each_scene()]
    names = rows[0][0]
    arrays = {name: np.array([row[0][name] for row in rows]) for name in names}
    return Comparison(arrays, np.array([row[1] for row in rows]))


def _scene(setup: Setup, rules: Sequence[Contender]) -> tuple[Arrays, list[float]]:
    last = setup.model.config.depth - 1
    forecast = Forecast(setup.model, [c.merging for c in rules])
    run(setup, Observers([forecast]))
    plain, spent, base = _one(setup, None, last)
    found, seconds = [_numbers(plain, base, base)], [spent]
    for contender in rules:
        outcome, spent, tokens = _one(setup, contender.merging, last)
        found.append(_numbers(outcome, tokens, base))
        seconds.append(spent)
    arrays = {name: np.array([row[name] for row in found]) for name in found[0]}
    return arrays | {"forecast": np.concatenate([[0.0], forecast.arrays()["deviation"]])}, seconds


def _one(setup: Setup, rule: MergingRule | None, last: int) -> tuple[Outcome, float, Tensor]:
    """Outcome, processor seconds (wall-clock on a GPU), and the last tokens of one run."""
    probe = LastTokens(last)
    clock = time.perf_counter if setup.params.device.startswith("cuda") else time.process_time
    start = clock()
    outcome = run(replace(setup, rule=rule), probe)
    spent = clock() - start
    assert probe.tokens is not None
    return outcome, spent, probe.tokens


def _numbers(outcome: Outcome, tokens: Tensor, base: Tensor) -> dict[str, Any]:
    measured = {name: outcome.measurements.get(name, (None, ""))[0] for name in ERRORS}
    report = outcome.prediction.report
    return {
        "deviation": float((tokens - base).norm() / base.norm()),
        "pairs": report.pairs / report.pairs_plain,
        "kept": report.kept,
    } | {name: np.nan if value is None else float(value) for name, value in measured.items()}

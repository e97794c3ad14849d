"""Every rule with a fixed ratio at equal query-key pairs, room by room: errors, pairs, processor seconds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from collections.abc import Sequence as Many
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from torch import nn

from lib.costs.stopwatch import Stopwatch
from lib.geometry import relative_to_first, rotation_angle_deg
from lib.merging import FastVGGTRule, KeyValueGridRule, RegisteredRule, SplitRule, TokenLayout, UniformRule
from lib.metrics import depth_errors
from lib.run import Params, Setup, forward, load_model, prepare
from lib.scenes.sequence import Sequence
from lib.vggt import Prediction, parse_scale

Array = NDArray[np.float64]
UNMERGED = "unmerged"
OPEN = ", nothing protected"
REGION = 8  # frames within which the last rule matches
BETWEEN = 4  # merged passes between two unmerged ones, so that both meet the same machine


@dataclass(frozen=True)
class Contender:
    """A rule at the strength that leaves a share `point` of all query-key pairs."""

    name: str
    point: float
    merging: RegisteredRule


def contenders(layout: TokenLayout, points: Many[float], seed: int) -> list[Contender]:
    """Every rule at every point that its protections let it reach."""
    found = []
    for point in points:
        for name, m, rule in _at_pairs(point, layout, seed):
            if m <= rule.largest_m(layout):
                found.append(Contender(name, point, rule))
    return found


def _at_pairs(pairs: float, layout: TokenLayout, seed: int) -> Iterator[tuple[str, float, RegisteredRule]]:
    """Name, strength and rule. FastVGGT keeps two rows of some tokens and is asked for more by that much."""
    side, keys = 1 - math.sqrt(pairs), 1 - pairs
    twice = FastVGGTRule(side, seed=seed).kept(layout) - (1 - side)
    half = brentq(lambda m: (1 - m) * (1 - SplitRule(m).of_queries) - pairs, 0.0, keys)
    released = min(side + twice, 1 - 1e-6)
    yield "fastvggt", released, FastVGGTRule(released, seed=seed)
    uniform, grid = UniformRule(side, seed=seed), KeyValueGridRule(keys, seed=seed)
    for name, m, rule in (
        ("uniform", side, uniform),
        ("grid", keys, grid),
        ("split", half, SplitRule(half, seed=seed)),
    ):
        yield name, m, rule
        yield name + OPEN, m, rule.unprotected()
    yield f"uniform, regions of {REGION}", side, replace(uniform, region=REGION)


@dataclass(frozen=True)
class Table:
    """names, points: of the columns, the unmerged run first. arrays: (scenes, columns): "rotation" (degrees,
    median over frames, from frame 0), "abs_rel", "pairs" (relative to unmerged), "seconds" (of the
    aggregator; processor time, on a GPU the clock; unmerged: the median of its passes between the others).
    """

    names: list[str]
    points: list[float]
    arrays: dict[str, Array]


def measure(params: Params, points: Many[float]) -> Table:
    """Every scene of `params.scene`, unmerged and by every contender.

    Raises:
        ValueError: a point outside (0, 1), or scenes without a truth; and as `lib.run.prepare`.
    """
    if not points or not all(0 < point < 1 for point in points):
        raise ValueError(f"points = {list(points)} must be shares of the query-key pairs, between 0 and 1")
    model, _ = load_model(params)
    setups = (prepare(replace(one, m=0.0), model) for one in params.each_scene())
    rows, rules = [], []
    for setup in setups:
        rules = contenders(setup.layout, points, params.seed)
        rows.append(_scene(setup, rules))
    arrays = {name: np.array([[one[name] for one in row] for row in rows]) for name in rows[0][0]}
    return Table([UNMERGED, *(r.name for r in rules)], [1.0, *(r.point for r in rules)], arrays)


def _scene(setup: Setup, rules: Many[Contender]) -> list[dict[str, float]]:
    plain, merged = [], []
    for place, rule in enumerate(rules):
        if place % BETWEEN == 0:
            plain.append(_pass(setup, None))
        merged.append(_pass(setup, rule.merging))
    usual = float(np.median([one["seconds"] for one in plain]))
    return [plain[0] | {"seconds": usual}, *merged]


def _pass(setup: Setup, merging: RegisteredRule | None) -> dict[str, float]:
    watch = Stopwatch(torch.device(setup.params.device))
    scale, images = parse_scale(setup.params.logit_scale), setup.sequence.images
    with _timed(setup.model.aggregator, watch):
        said = forward(setup.model, images, merging, logit_scale=scale, heads=("camera", "depth"))
    spent = watch.spent["aggregator"][1 if watch.device.type == "cuda" else 0]
    found = {"seconds": float(spent), "pairs": said.report.pairs / said.report.pairs_plain}
    return found | _errors(setup.sequence, said)


def _errors(truth: Sequence, said: Prediction) -> dict[str, float]:
    if truth.extrinsics is None or truth.depth is None or said.extrinsics is None or said.depth is None:
        raise ValueError("errors of cameras and depth need a truth of both, and a network that says both")
    guess, true = (
        relative_to_first(poses.cpu().double()) for poses in (said.extrinsics[0], truth.extrinsics)
    )
    turned = rotation_angle_deg(guess[1:, :, :3], true[1:, :, :3])
    depth = depth_errors(said.depth[0].float().cpu(), truth.depth, scale="median")
    return {"rotation": float(turned.median()), "abs_rel": depth.abs_rel}


@contextmanager
def _timed(module: nn.Module, watch: Stopwatch) -> Iterator[None]:
    hooks = (
        module.register_forward_pre_hook(lambda *_: watch.start("aggregator")),
        module.register_forward_hook(lambda *_: watch.stop("aggregator")),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()

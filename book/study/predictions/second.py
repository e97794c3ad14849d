"""The second round: all quantities that ``declared_second.yml`` names, on one model and several scenes.

Like `measure`: arrays with a scene axis, and every quantity a function of these. With ``long`` frames only
the share of the reference frame is measured, and the rest is not decided by that run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from book.study.anchored import Anchored
from book.study.head_laws import Split
from book.study.predictions.entry import entry
from book.study.predictions.equal_size import EqualSize, both_orders
from book.study.predictions.heads import DRAWS as RULE_DRAWS
from book.study.predictions.heads import STRENGTHS, FirstChange, Odds, Rule, clear_cases, signs_right
from book.study.predictions.measure import Quantity, rules
from book.study.predictions.profiles import (
    INITIAL_DEPTH,
    INITIAL_LAYER_SCALE,
    Profile,
    Undefined,
    every_fourth,
)
from book.study.predictions.sink import SHORT, dilution, merged_share
from book.study.static_merging import Observers
from lib.run import Params, errors, forward, load_model, prepare
from lib.scenes.sequence import Sequence as Frames
from lib.vggt import VGGT, LogitScale, VGGTConfig, parse_scale

Arrays = dict[str, NDArray[np.float64]]
FRAMES = 4 * SHORT  # of the main part: every fourth frame is the short sequence
RESTORED = 512  # frames up to which a long run is repeated with the weighted reference
SINK_STRENGTHS = (0.3, 0.5, 0.9)  # of the released rule, with and without size bias


def measure(params: Params, long: int) -> Arrays:
    """Everything on each scene, or with `long` frames the reference's share alone; scenes first.

    Raises:
        ValueError: `long` is neither 0 nor a multiple of 8 above it; as `lib.run.prepare`.
        CheckpointError, MemoryError: as `lib.run.prepare`.
    """
    model, _ = load_model(params)
    frames = long or FRAMES
    scenes = [prepare(replace(each, frames=frames), model).sequence for each in params.each_scene()]
    if long:
        found = [long_scene(model, scene, parse_scale(params.logit_scale)) for scene in scenes]
    else:
        found = [measure_scene(model, scene, rules(params), params) for scene in scenes]
    arrays = {name: np.stack([scene[name] for scene in found]) for name in found[0]}
    if long:
        return arrays
    few = every_fourth(scenes[0])
    return arrays | {"initial.odds": initial(model.config, few, params.seed)[None].repeat(len(scenes), 0)}


def long_scene(model: VGGT, scene: Frames, scale: LogitScale | None = None) -> Arrays:
    """The share ("sink.*", see `dilution`) in a long sequence, and "turn", the rotation error since frame 0.

    turn (2,): plain and with a weighted reference, where cameras are known and predicted.
    """
    again = len(scene) <= RESTORED
    found = dilution(model, scene.images, again, scale)
    if again and scene.extrinsics is not None and "camera" in model.available_heads:
        rules = (None, Anchored(SHORT))
        runs = [forward(model, scene.images, rule, logit_scale=scale, heads=("camera",)) for rule in rules]
        turns = [errors(scene, run)["rotation_from_frame_0"][0] for run in runs]
        found["turn"] = np.array(turns, dtype=np.float64)
    return found


def measure_scene(model: VGGT, scene: Frames, rule: Rule, params: Params) -> Arrays:
    """One scene of `FRAMES` frames: "sink.*", "odds", "first.*", "null", "split.*", "entry.*"."""
    few, seed, scale = every_fourth(scene).images, params.seed, parse_scale(params.logit_scale)
    odds, change = Odds(model), FirstChange(model, rule, seed)
    equal, plain = EqualSize(model, rule, seed), Profile(seed)
    forward(model, scene.images, probe=odds, logit_scale=scale, heads=())
    forward(model, few, probe=Observers([change, equal, plain]), logit_scale=scale, heads=())
    ends = np.empty((len(STRENGTHS), RULE_DRAWS))
    for place in np.ndindex(ends.shape):
        merged = Profile(seed)
        used = rule(STRENGTHS[place[0]], seed + place[1], False)
        forward(model, few, used, merged, logit_scale=scale, heads=())
        ends[place] = 1 - merged.rows[-1]["common"]
    merging = [rule(m, seed, bias) for bias in (False, True) for m in SINK_STRENGTHS]
    found = {
        "odds": np.array(odds.rows),
        "first": np.stack(change.rows),
        "first.spread": np.array(change.spreads),
        "first.end": np.log(ends / (1 - plain.rows[-1]["common"])),
        "null": np.stack(equal.rows),
    }
    found |= both_orders(model, few, rule, params.m, seed, scale)
    found |= entry(model, few, scene.images, scale)
    found |= dilution(model, scene.images, scale=scale)
    return found | merged_share(model, scene.images, merging, scale)


def initial(config: VGGTConfig, scene: Frames, seed: int) -> NDArray[np.float64]:
    """(branches, 7) rows of `Odds` in a VGGT at initialisation, 24 pairs of blocks, LayerScale 0.01."""
    heads = dict.fromkeys(("camera_head", "depth_head", "point_head", "track_head"))
    config = replace(config, depth=INITIAL_DEPTH, layer_scale=INITIAL_LAYER_SCALE, **heads)  # type: ignore[arg-type]
    model = VGGT.from_seed(config, seed).eval()
    probe = Odds(model)
    with torch.inference_mode():
        model.aggregator(scene.images[None], keep={INITIAL_DEPTH - 1}, probe=probe)
    return np.array(probe.rows)


def _of(arrays: Arrays, name: str) -> NDArray[np.float64]:
    if name not in arrays:
        raise Undefined("this run measured the reference's share in a long sequence, nothing else")
    return arrays[name]


def first_change_sign(arrays: Arrays) -> float:
    """P14a. Blocks of all rooms at m = 0.3 and 0.5, every fourth frame; cases clear of the rule's draws."""
    cases = clear_cases(_of(arrays, "first"))
    return signs_right(cases[:, 1], cases[:, 0])


def first_change_correlation(arrays: Arrays) -> float:
    """P14b. Pearson, over the same cases."""
    cases = clear_cases(_of(arrays, "first"))
    return float(np.corrcoef(cases[:, 0], cases[:, 1])[0, 1])


def first_change_slope(arrays: Arrays) -> float:
    """P14c. Least squares through zero of the measured on the predicted change."""
    cases = clear_cases(_of(arrays, "first"))
    return float(cases[:, 1] @ cases[:, 0] / (cases[:, 1] @ cases[:, 1]))


def first_change_uniform(arrays: Arrays) -> float:
    """Beside P14: signs right with uniform attention."""
    cases = clear_cases(_of(arrays, "first"))
    return signs_right(cases[:, 2], cases[:, 0])


def first_change_pull(arrays: Arrays) -> float:
    """Beside P14: signs right with V = I, β = 0."""
    cases = clear_cases(_of(arrays, "first"))
    return signs_right(cases[:, 3], cases[:, 0])


def first_change_length(arrays: Arrays) -> float:
    """Beside P14: signs right by |M_w|² − |M|², the criterion of P4."""
    cases = clear_cases(_of(arrays, "first"))
    return signs_right(cases[:, 4], cases[:, 0])


def summed_change_sign(arrays: Arrays) -> float:
    """P15. Σ over global blocks before the last of (predicted change / spread), against the change of
    ln spread entering the last block in merged runs; means over draws; a case is a room and m."""
    relative = _of(arrays, "first")[..., 1] / arrays["first.spread"][:, :, None, None]
    predicted = relative[:, :-1].sum(1).mean(-1)
    return signs_right(predicted, arrays["first.end"].mean(-1))


def _largest(arrays: Arrays, measured: str, law: str) -> float:
    """Largest over blocks (and settings) of |measured − law|, both averaged over scenes (and heads) first."""
    pairs = (_of(arrays, f"sink.{name}").mean(0) for name in (measured, law))
    a, b = (p.mean(-1) if "merged" not in measured else p for p in pairs)
    return float(np.abs(a - b).max())


def sink_error(arrays: Arrays) -> float:
    """P16. Share of frame 0 in S frames against the law from 8 of them, largest over blocks."""
    return _largest(arrays, "long", "law")


def sink_restored(arrays: Arrays) -> float:
    """P17. Share in S frames with the weighted reference against the share in 8, largest over blocks."""
    if "sink.restored" not in arrays:
        raise Undefined(f"not run in more than {RESTORED} frames")
    return _largest(arrays, "restored", "short")


def sink_strongest(arrays: Arrays) -> float:
    """P18. Share of frame 0 in 8 frames, the block where it is largest; means over rooms and heads."""
    return float(_of(arrays, "sink.short").mean((0, 2)).max())


def sink_diluted(arrays: Arrays) -> float:
    """Beside P16: what no dilution would err by, the share in S frames against that in 8."""
    return _largest(arrays, "long", "short")


def _merged(arrays: Arrays, bias: bool) -> float:
    rows = slice(3, 6) if bias else slice(0, 3)
    gap = (_of(arrays, "sink.merged") - arrays["sink.merged_law"]).mean(0)[rows]
    return float(np.abs(gap).max())


def sink_merged_plain(arrays: Arrays) -> float:
    """P19a. Released rule at m = 0.3, 0.5, 0.9 in 32 frames without size bias, largest over m and blocks."""
    return _merged(arrays, False)


def sink_merged_biased(arrays: Arrays) -> float:
    """P19b. The same with size bias."""
    return _merged(arrays, True)


def _branches(arrays: Arrays, kind: int) -> NDArray[np.float64]:
    rows = _of(arrays, "odds")
    return rows[:, rows[0, :, 6] == kind].reshape(-1, 7)


def _correlation(rows: NDArray[np.float64], column: int) -> float:
    return float(np.corrcoef(rows[:, column], rows[:, 1])[0, 1])


def odds_global_uniform(arrays: Arrays) -> float:
    """P20a. Pearson over global blocks and rooms, all 32 frames: uniform attention, real V, O, LayerScale."""
    return _correlation(_branches(arrays, 1), 2)


def odds_frame_uniform(arrays: Arrays) -> float:
    """P20b. The same of frame attention."""
    return _correlation(_branches(arrays, 0), 2)


def odds_law_sign(arrays: Arrays) -> float:
    """P20c. Signs right over global blocks and rooms, κ and ν measured."""
    rows = _branches(arrays, 1)
    return signs_right(rows[:, 3], rows[:, 1])


def odds_law_error(arrays: Arrays) -> float:
    """P20d. Mean |error| of that law over the mean |error| of V = I with measured steps, global blocks."""
    rows = _branches(arrays, 1)
    law, unsigned = (np.abs(rows[:, k] - rows[:, 1]).mean() for k in (3, 4))
    return float(law / unsigned)


def late_slopes(arrays: Arrays) -> tuple[float, float, float, float]:
    """Log–log slope of the mean spread entering the second half of the global blocks, 32 frames (P21).

    Measured; from the spread entering the first of these and T2′ for attention (κ, ν measured) with the
    measured change by MLPs; the same with uniform attention; V = I with measured steps and no MLP.
    """
    rows = _of(arrays, "odds")
    depth = rows.shape[1] // 2
    number = np.arange(1, depth + 1)
    late = number[number > depth / 2]
    if len(late) < 3:
        raise Undefined(f"a slope over {len(late)} blocks says nothing; three are needed")
    start = 2 * (late[0] - 1) + 1  # rows: frame, global, frame, …
    slopes = []
    for column, mlp in ((1, 1), (3, 1), (2, 1), (4, 0)):
        steps = rows[:, start:-1, column] + mlp * rows[:, start:-1, 5]
        course = rows[:, start, [0]] + np.concatenate([0 * steps[:, :1], steps.cumsum(1)], 1)
        spread = (1 / (1 + np.exp(course[:, ::2]))).mean(0)
        slopes.append(float(np.polyfit(np.log(late), np.log(spread), 1)[0]))
    return slopes[0], slopes[1], slopes[2], slopes[3]


def late_slope_law(arrays: Arrays) -> float:
    """P21a. |slope by T2′ − measured slope|."""
    measured, law, _, _ = late_slopes(arrays)
    return abs(law - measured)


def late_slope_uniform(arrays: Arrays) -> float:
    """P21b. The same with uniform attention."""
    measured, _, uniform, _ = late_slopes(arrays)
    return abs(uniform - measured)


def late_slope_unsigned(arrays: Arrays) -> float:
    """Beside P21: the same with V = I."""
    measured, _, _, unsigned = late_slopes(arrays)
    return abs(unsigned - measured)


def null_weak(arrays: Arrays) -> float:
    """P22a. Mean over rooms and blocks of r(static, m = 0.2)/r(random subset of as many tokens)."""
    null = _of(arrays, "null")
    return float((null[:, :, 0, 0] / null[:, :, 0, 1]).mean())


def null_turn(arrays: Arrays) -> float:
    """P22b. Share of room-blocks above the null at m = 0.2, minus the same at saturation."""
    null = _of(arrays, "null")
    above = (null[..., 0] > null[..., 1]).mean((0, 1))
    return float(above[0] - above[1])


def null_in_sink(arrays: Arrays) -> float:
    """P22c. Mean over rooms of that ratio at saturation, in the block with the largest share of frame 0."""
    null = _of(arrays, "null")
    block = int(arrays["sink.short"].mean((0, 2)).argmax())
    return float((null[:, block, 1, 0] / null[:, block, 1, 1]).mean())


def _split(arrays: Arrays, bias: int) -> Split:
    plain, static, moved, merged = _of(arrays, "split.ranks")[:, bias].mean((0, 1))
    return Split.of(float(plain), float(static), float(moved), float(merged))


def dynamic_share_biased(arrays: Arrays) -> float:
    """P23a. |Shapley dynamic part| / |whole change| of the mean rank at the m of the run, with size bias."""
    split = _split(arrays, 1)
    return abs(split.dynamic) / abs(split.static + split.dynamic)


def static_share_plain(arrays: Arrays) -> float:
    """P23b. |static| / (|static| + |dynamic|) without size bias, in the order that gives less."""
    s = _split(arrays, 0)
    orders = ((s.static_first, s.dynamic_last), (s.static_last, s.dynamic_first))
    return min(abs(a) / (abs(a) + abs(b)) for a, b in orders)


def dynamic_against_static(arrays: Arrays) -> float:
    """P23c. Shapley dynamic over Shapley static part with size bias: negative where they oppose."""
    split = _split(arrays, 1)
    return split.dynamic / split.static


def entry_error(arrays: Arrays) -> float:
    """P24. |mean over rooms of predicted − measured change of ln frame part|, 8 to 32 frames."""
    return float(abs((_of(arrays, "entry.law") - arrays["entry.measured"]).mean()))


def initial_correlation(arrays: Arrays) -> float:
    """P25. Pearson over the 48 attention branches: Δ ln odds measured, and with uniform attention."""
    return _correlation(_of(arrays, "initial.odds")[0], 2)


def turn_ratio(arrays: Arrays) -> float:
    """P26. Median over rooms of the median turn error since frame 0, weighted reference over plain."""
    if "turn" not in arrays:
        raise Undefined("no cameras were predicted in a long sequence")
    plain, weighted = np.median(arrays["turn"], 0)
    return float(weighted / plain)


QUANTITIES: Mapping[str, Quantity] = {
    f.__name__: f
    for f in (
        *(first_change_sign, first_change_correlation, first_change_slope, summed_change_sign),
        *(sink_error, sink_restored, sink_strongest, sink_merged_plain, sink_merged_biased),
        *(odds_global_uniform, odds_frame_uniform, odds_law_sign, odds_law_error),
        *(late_slope_law, late_slope_uniform, null_weak, null_turn, null_in_sink),
        *(dynamic_share_biased, static_share_plain, dynamic_against_static, entry_error),
        *(initial_correlation, turn_ratio),
    )
}
# shown beside the predictions, judged by nobody
BESIDE: Mapping[str, Quantity] = {
    f.__name__: f
    for f in (first_change_uniform, first_change_pull, first_change_length, sink_diluted, late_slope_unsigned)
}
EVERY = {**QUANTITIES, **BESIDE}

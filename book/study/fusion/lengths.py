"""Attention between frames against m and the number of frames, with errors of the same runs beside it.

The S x S matrix between frames is the one matrix whose size does not depend on m, and the one that stays
affordable at hundreds of frames. It is read twice, as in `measure`: in runs that merge (*propagated*), and in
the unmerged run as the rule would have merged it there (*static*).
"""

from __future__ import annotations

import math
from collections.abc import Sequence as Many
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from book.study.static_merging import Observers, StaticMerging
from lib.geometry import relative_to_first
from lib.merging import Setting
from lib.probe import attention_operators
from lib.run import Measurements, Outcome, Params, Setup, errors, load_model, prepare, run
from lib.spectra import LinearMap, pooled_measures
from lib.training.evaluation import unexplained_motion
from lib.vggt import AttentionEvent

Array = NDArray[np.float64]
PARTS = ("propagated", "static")
QUANTITIES = ("entropy", "stable_rank")
ERRORS = {
    "rotation": ("rotation_from_frame_0", "deg"),
    "rpe_rot": ("rpe_rot_deg_centres", "deg"),
    "rpe_trans": ("rpe_trans_centres", "m"),
    "ate": ("ate_centres", "m"),
    "abs_rel": ("abs_rel", "1"),
}
UNITS = {name: unit for name, (_, unit) in ERRORS.items()} | {"unexplained": "1"}


def pooled_by_rows(operator: LinearMap, frames: int) -> Tensor:
    """(S, S) attention between frames: `lib.spectra.frame_pooled`, frame by frame of the rows.

    The same numbers from N/S rows at a time; cheaper beyond some hundred frames, where ⌈S/64⌉ passes cost
    more than the matrix itself.
    """
    rows = torch.arange(operator.rows, device=operator.device).view(frames, -1)
    one = [operator.attention_rows(own).double().unflatten(1, (frames, -1)).sum(2).mean(0) for own in rows]
    return torch.stack(one)


@dataclass
class Pooled:
    """Observer: entropy (nats) and stable rank of attention between frames; `rows`: (layers, heads, 2)."""

    rows: list[list[list[float]]] = field(default_factory=list)

    def observe(self, event: AttentionEvent) -> None:
        """Read every head of one global block, first item of the batch."""
        if event.kind != "global" or event.layout is None:
            return
        with torch.inference_mode(), torch.autocast(event.x.device.type, enabled=False):
            outer = [attention_operators(event, head)[1] for head in range(event.q.shape[1])]
            found = [pooled_measures(pooled_by_rows(one, event.layout.frames)) for one in outer]
        self.rows.append([[one.entropy, one.stable_rank] for one in found])


@dataclass(frozen=True)
class Table:
    """What the scenes of a range gave.

    Attributes:
        scenes: names. settings: names, the first is "plain". frames: S.
        arrays: "propagated.entropy" (nats) and so on, (settings, scenes, layers, heads); "errors.rotation"
            and so on, (settings, scenes), NaN where not defined; "kept", (settings, scenes).
    """

    scenes: list[str]
    settings: list[str]
    frames: int
    arrays: dict[str, Array]

    def medians(self) -> Measurements:
        """Medians over scenes, one value a setting: errors, and H / ln S of both parts."""
        found: Measurements = {}
        for part in PARTS:
            entropy = self.arrays[f"{part}.entropy"].mean((2, 3)) / math.log(self.frames)
            found[f"{part}_entropy"] = (np.median(entropy, axis=1).tolist(), "1")
        for name, unit in UNITS.items():
            middle = np.median(self.arrays[f"errors.{name}"], axis=1)
            found[name] = ([None if math.isnan(v) else v for v in middle.tolist()], unit)  # type: ignore[assignment]
        return found


def measure(params: Params, strengths: Many[float]) -> Table:
    """Every scene of `params.scene` without merging and at each strength of `params.rule`.

    Raises:
        ValueError: a strength outside (0, 1), fewer than two frames; and as `lib.run.prepare` and the rules.
    """
    if params.frames < 2 or not all(0 < m < 1 for m in strengths):
        raise ValueError(
            f"need at least two frames and strengths in (0, 1), got {params.frames}, {list(strengths)}"
        )
    settings = [Setting(params.rule, m, params.size_bias) for m in strengths]
    model, _ = load_model(params)
    scenes = params.each_scene()
    found = [_scene(prepare(replace(one, m=0.0), model), settings) for one in scenes]
    arrays = {name: np.stack([one[name] for one in found], axis=1) for name in found[0]}
    names = ["plain", *(setting.name for setting in settings)]
    return Table([one.scene for one in scenes], names, params.frames, arrays)


def _scene(setup: Setup, settings: Many[Setting]) -> dict[str, Array]:
    """One scene: its arrays with the settings, unmerged first, as first axis."""
    rules = [rule for setting in settings if (rule := setting.merging(setup.params.seed))]
    static, moved = [Pooled() for _ in (None, *rules)], [Pooled() for _ in (None, *rules)]
    shown = (StaticMerging(setup.model, rule, seen) for rule, seen in zip(rules, static[1:], strict=True))
    outcomes = [run(setup, Observers([static[0], *shown]))]  # type: ignore[arg-type]
    moved[0] = static[0]
    for rule, seen in zip(rules, moved[1:], strict=True):
        outcomes.append(run(replace(setup, rule=rule), seen))  # type: ignore[arg-type]
    found = {
        f"{part}.{quantity}": np.array([seen.rows for seen in each])[..., k]
        for part, each in (("propagated", moved), ("static", static))
        for k, quantity in enumerate(QUANTITIES)
    }
    found["kept"] = np.array([outcome.kept for outcome in outcomes])
    wrong = [_errors(setup, outcome) for outcome in outcomes]
    return found | {f"errors.{name}": np.array([one[name] for one in wrong]) for name in UNITS}


def _errors(setup: Setup, outcome: Outcome) -> dict[str, float]:
    """Errors of one run by their short names; NaN without a truth."""
    sequence, prediction = setup.sequence, outcome.prediction
    known = errors(sequence, prediction)
    values: dict[str, object] = {name: known[long][0] for name, (long, _) in ERRORS.items() if long in known}
    if sequence.extrinsics is not None and prediction.extrinsics is not None:
        guess, true = (relative_to_first(e.double()) for e in (prediction.extrinsics[0], sequence.extrinsics))
        values["unexplained"] = unexplained_motion(guess, true)
    return {n: v if isinstance(v := values.get(n), float) else math.nan for n in UNITS}

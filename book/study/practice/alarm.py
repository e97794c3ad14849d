"""An alarm without a truth: does the network say the same of few frames alone and among all the others?

Few frames, about as many as in training, go through the network alone. Their cameras are compared with those
that the same frames get in the long sequence. Where that fails and the short one works, the two disagree.
"""

from __future__ import annotations

from collections.abc import Sequence as Several
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest
from torch import Tensor

from book.study.intervals import LEVEL, Interval
from lib.geometry import relative_to_first, rotation_angle_deg
from lib.run import Params, Setup, forward, load_model, prepare
from lib.vggt import parse_scale

LEAST = 8  # frames that run alone even where training had fewer: a median of three angles says little
Array = NDArray[np.float64]


def spread_out(count: int, most: int) -> list[int]:
    """At most `most` of 0 … count − 1, evenly spread, both ends among them."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most)).round()})


def disagreement(long: Tensor, alone: Tensor, chosen: Several[int]) -> float:
    """Median angle between the turns since frame 0 of `chosen` frames in a long run and alone, degrees.

    long (S, 3, 4), alone (len(chosen), 3, 4): camera-from-world; chosen: their places in the long run, the
    first is 0.

    Raises:
        ValueError: fewer than two frames are compared, or the first is not frame 0.
    """
    if len(chosen) < 2 or chosen[0] != 0:
        raise ValueError(f"compare at least two frames, the first of them frame 0; got {list(chosen)}")
    among, by_themselves = (
        relative_to_first(poses.double())[1:, :, :3] for poses in (long[torch.tensor(chosen)], alone)
    )
    return float(rotation_angle_deg(among, by_themselves).median())


def measure(params: Params, trained: int) -> dict[str, Array]:
    """All scenes of the range of `params`, three numbers each, degrees.

    signal: `disagreement` of `trained` frames (at least `LEAST`) alone with the same among all; error,
    error_alone: median rotation error since frame 0 of the long and of the short run, NaN without a truth.

    Raises:
        ValueError: a long run that is no longer than the short one; and as `lib.run.prepare`.
    """
    few = max(LEAST, trained)
    if params.frames <= few:
        raise ValueError(f"frames must be above the {few} that run alone, got {params.frames}")
    model, _ = load_model(params)
    rows = []
    for one in params.each_scene():
        setup = prepare(one, model)
        chosen = spread_out(params.frames, few)
        long, alone = cameras(setup), cameras(replace(setup, sequence=setup.sequence.take(chosen)))
        truth = setup.sequence.extrinsics
        numbers = [disagreement(long, alone, chosen)]
        for poses, true in ((long, truth), (alone, None if truth is None else truth[torch.tensor(chosen)])):
            everyone = list(range(len(poses)))
            numbers.append(np.nan if true is None else disagreement(poses, true, everyone))
        rows.append(numbers)
    return dict(zip(("signal", "error", "error_alone"), np.array(rows).T, strict=True))


def cameras(setup: Setup) -> Tensor:
    """Predicted extrinsics (S, 3, 4) of a run, on the CPU; only the camera head runs.

    Raises:
        ValueError: the network has none.
    """
    if "camera" not in setup.model.available_heads:
        raise ValueError("the alarm compares cameras, and this network has no camera head")
    scale = parse_scale(setup.params.logit_scale)
    found = forward(setup.model, setup.sequence.images, setup.rule, logit_scale=scale, heads=("camera",))
    assert found.extrinsics is not None
    return found.extrinsics[0].cpu()


@dataclass(frozen=True)
class Rates:
    """How an alarm did: sounded on `heard` of `failing` scenes and on `false` of `working` ones."""

    heard: int
    failing: int
    false: int
    working: int

    @property
    def sensitivity(self) -> Interval:
        """Share of failing scenes on which it sounds, with Clopper and Pearson's 95 % interval."""
        return _share(self.heard, self.failing)

    @property
    def false_alarms(self) -> Interval:
        """Share of working scenes on which it sounds, with the same interval."""
        return _share(self.false, self.working)


def rates(signal: ArrayLike, error: ArrayLike, threshold: float, failure: float) -> Rates:
    """Count alarms, signal > threshold, on scenes that fail, error > failure, and on the others."""
    sounds, fails = np.asarray(signal, float) > threshold, np.asarray(error, float) > failure
    return Rates(
        int((sounds & fails).sum()), int(fails.sum()), int((sounds & ~fails).sum()), int((~fails).sum())
    )


def best_threshold(signal: ArrayLike, error: ArrayLike, failure: float) -> float:
    """Threshold with the largest sensitivity minus false alarms; the middle of the widest such gap.

    Raises:
        ValueError: no scene fails, or none works: there is nothing to tell apart.
    """
    s, fails = np.asarray(signal, float), np.asarray(error, float) > failure
    if fails.all() or not fails.any():
        raise ValueError(f"of {len(s)} scenes {int(fails.sum())} fail: a threshold needs some of both kinds")
    ordered = np.sort(s)
    between = (ordered[1:] + ordered[:-1]) / 2
    gain = np.array([(s[fails] > t).mean() - (s[~fails] > t).mean() for t in between])
    best = np.flatnonzero(gain >= gain.max() - 1e-12)
    return float(between[best[np.argmax(np.diff(ordered)[best])]])


def _share(count: int, of: int) -> Interval:
    if of == 0:
        return Interval(np.nan, 0.0, 1.0)
    ends = binomtest(count, of).proportion_ci(LEVEL)
    return Interval(count / of, float(ends.low), float(ends.high))

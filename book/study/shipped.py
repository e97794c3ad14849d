"""Reading what ships: the record beside the weights, checked against them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from book.study.intervals import Interval, median_interval
from lib.records.contents import hash_path
from lib.records.fingerprints import ROOT
from lib.records.store import StaleResultError

SHIPPED = ROOT / "data" / "weights" / "mini.safetensors"
Report = Mapping[str, Any]  # the JSON record of a weights file
VGGT_1B, VGGT_1B_FRAMES = "facebook/VGGT-1B", 24  # trained on 2 to 24 frames a scene. Source: VGGT, section 4


@dataclass(frozen=True)
class Target:
    """What the weights were to reach at eight frames, as the median over held-out rooms."""

    label: str
    error: str
    limit: float
    unit: str


TARGET_FRAMES = 8
TARGETS = (  # fixed before the run, for weights trained on a CPU
    Target("rotation error", "rotation_deg", 6.0, "°"),
    Target("ATE, share of the path", "ate_relative", 0.20, ""),
    Target("depth error AbsRel", "abs_rel", 0.15, ""),
)


def read_report(weights: Path = SHIPPED) -> Report:
    """The training record of `weights`, with its evaluation; of weights that do not ship, as it stands.

    Raises:
        StaleResultError: there is no record or no evaluation, or it is of other weights; says what to run.
    """
    path = weights.with_suffix(".json")
    if not path.is_file():
        raise StaleResultError(f"{weights.name} has no record; run: python -m lib.train export")
    report = json.loads(path.read_text(encoding="utf-8"))
    actual = hash_path(weights) if weights.is_file() else report["weights"]
    evaluated = report.get("evaluation", {}).get("weights")
    if report["weights"] != actual or evaluated != actual:
        raise StaleResultError(
            f"{path.name} describes weights {report['weights']} and evaluates {evaluated}, "
            f"but {weights.name} is {actual}; run: python -m lib.train evaluate {weights.name}"
        )
    return report


def trained_frames(model: str, given: int = 0) -> int:
    """Most frames of a scene in training: `given` if positive, else what is known of `model`.

    Known are VGGT-1B by its hub name, and weights with a training record beside them.

    Raises:
        ValueError: nothing is known, so that the number must be given.
    """
    if given > 0:
        return given
    if model == VGGT_1B:
        return VGGT_1B_FRAMES
    for record in (SHIPPED.parent / f"{model}.json", Path(model).with_suffix(".json")):
        if record.is_file():
            return int(json.loads(record.read_text())["config"]["most_frames"])
    raise ValueError(f"nobody knows on how many frames {model!r} was trained; give trained = that number")


def lengths(report: Report, walk: str) -> list[int]:
    """Numbers of frames at which walks of this kind were evaluated, increasing."""
    return sorted({row["frames"] for row in report["evaluation"]["rows"] if row["walk"] == walk})


def walks(report: Report) -> list[str]:
    """Kinds of walks and names of recordings that were evaluated, in the order of the record."""
    return list(dict.fromkeys(row["walk"] for row in report["evaluation"]["rows"]))


def errors(report: Report, walk: str, frames: int, who: str, error: str) -> np.ndarray:
    """One error for each walk; NaN where it is not defined.

    Args:
        walk: as in `walks`. frames: as in `lengths`. who: "model", "still" or "oracle".
        error: a key of `lib.training.evaluation.sequence_errors`.

    Raises:
        KeyError: the record has no such row or error.
    """
    for row in report["evaluation"]["rows"]:
        if (row["walk"], row["frames"], row["who"]) == (walk, frames, who):
            return np.array([np.nan if value is None else value for value in row[error]["values"]])
    raise KeyError(f"no row for {who!r} on {frames} frames of {walk!r}; there are {walks(report)}")


def middle(report: Report, walk: str, frames: int, who: str, error: str, seed: int = 0) -> Interval:
    """Median over rooms with its bootstrap interval; raises ValueError where the error is not defined."""
    return median_interval(errors(report, walk, frames, who, error), seed)


def better(report: Report, walk: str, frames: int, error: str, seed: int = 0) -> str:
    """Whether the model beats the baseline room by room: "below", "above" or "not clearly different from".

    Judged by the bootstrap interval of the median of the paired differences.
    """
    model, still = (errors(report, walk, frames, who, error) for who in ("model", "still"))
    gap = median_interval(model - still, seed)
    if gap.high < 0:
        return "below"
    return "above" if gap.low > 0 else "not clearly different from"

"""What was declared, what came out, and whether that is kept or refuted: nothing here is typed by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from book.study import entries, profile
from book.study.intervals import LEVEL, Interval, mean_ratio
from book.study.long_sequences import law
from lib import records

EXPERIMENT = "book/runs/long_sequences.ipynb"
FAILURE = 15.0  # degrees
SINK = 3  # the block in which frame 0 takes most of the attention
BATCHES = tuple(
    entries.read(Path(__file__).with_name(name), ("runs", "predictions"))
    for name in ("declared.yml", "declared_second.yml")
)
DECLARED: Mapping[str, Any] = {
    part: {key: one for batch in BATCHES for key, one in batch[part].items()} for part in BATCHES[0]
}
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """One declared run: its records, one after another along the rooms."""

    name: str
    found: tuple[records.Measured, ...]

    @property
    def arms(self) -> list[str]:
        """Names of the arms, "plain" first."""
        return list(self.found[0].record["arms"])

    @property
    def frames(self) -> int:
        """S."""
        return int(self.found[0].record.params["frames"])

    @property
    def scenes(self) -> list[str]:
        """One name a room."""
        return [scene for m in self.found for scene in m.record["scenes"]]

    def errors(self, arm: str, error: str = "rotation") -> Array:
        """One value a room."""
        row = self.arms.index(arm)
        return np.concatenate([m.record[f"errors.{error}"][row] for m in self.found])

    def mass(self, arm: str = "plain") -> Array:
        """(layers, 2, 4): mass of the groups, by patches and camera tokens, mean over rooms."""
        row = self.arms.index(arm)
        return np.asarray(np.concatenate([m.record["mass"][row] for m in self.found]).mean(0))

    def law(self, frames: float) -> Array:
        """(layers, 2, 4): what the law makes of this run's unmerged logits at so many frames."""
        sums = np.concatenate([m.record["log_sums"][:, :, 0] for m in self.found])
        found = law.diluted(sums, frames, self.frames).mean((0, 2))
        half = found.shape[1] // 2
        return np.stack([found[:, :half].mean(1), found[:, half:].mean(1)], 1)


def load_runs() -> dict[str, Run]:
    """The declared runs, each with those of its ranges of rooms that have been measured; none: left out."""
    found = profile.Runs[Run](DECLARED["runs"])
    for name, asked in DECLARED["runs"].items():
        params = {key: value for key, value in asked.items() if key != "scenes"}
        parts = [part for scene in asked["scenes"] if (part := _measured(params | {"scene": scene}))]
        if parts:
            found[name] = Run(name, tuple(parts))
    return found


def _measured(params: Mapping[str, Any]) -> records.Measured | None:
    try:
        return profile.load_measured(EXPERIMENT, **params)
    except records.StaleResultError:
        return None


def share_better(new: ArrayLike, old: ArrayLike) -> Interval:
    """Share of rooms in which `new` is smaller, with Clopper and Pearson's exact interval (sign test)."""
    differences = np.asarray(new, float) - np.asarray(old, float)
    wins, rooms = int((differences < 0).sum()), int((differences != 0).sum())
    ends = binomtest(wins, rooms).proportion_ci(LEVEL)
    return Interval(wins / rooms, float(ends.low), float(ends.high))


def measured(one: Mapping[str, Any], runs: Mapping[str, Run]) -> Interval | float | None:
    """The quantity of a prediction; None while a run that it needs is missing."""
    here, than = runs.get(one["in"]), one.get("than", "plain")
    there = runs.get(than) if than in DECLARED["runs"] else here
    if here is None or there is None:
        return None
    if one["quantity"].startswith(("law", "sink")):
        which = 1 if one["quantity"] == "law_camera" else 0
        gap = (here.mass() - there.law(here.frames))[:, which, 0]
        return float(gap[SINK]) if one["quantity"] == "sink_patch" else float(abs(np.delete(gap, SINK)).max())
    error = one.get("error", "rotation")
    old = there.errors("plain" if there is not here else than, one.get("than_error", error))
    new = here.errors(one["arm"], error)
    paired = there is here or there.scenes == here.scenes
    return mean_ratio(new, old, paired=paired) if one["quantity"] == "mean_ratio" else share_better(new, old)


def word(one: Mapping[str, Any], value: Interval | float | None) -> str:
    """ "kept" or "refuted", by the number alone; "open" without one."""
    if value is None:
        return "open"
    number = value.median if isinstance(value, Interval) else value
    return "kept" if one.get("above", -math.inf) < number < one.get("below", math.inf) else "refuted"


def sure(one: Mapping[str, Any], value: Interval | float | None) -> bool:
    """Whether the whole interval lies on the side of the bounds that the word names."""
    ends = (value.low, value.high) if isinstance(value, Interval) else (value,)
    return (
        value is not None
        and len({word(one, end) for end in ends}) == 1
        and word(one, ends[0]) == word(one, value)
    )


def failures(run: Run, arm: str) -> int:
    """Rooms in which the median rotation error is above `FAILURE`."""
    return int((run.errors(arm) > FAILURE).sum())

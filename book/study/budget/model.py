"""A law of cost with few constants: fitted to measured passes, held against others, taken to a large network.

Operations are those of `lib.costs.operations`, bytes those of `lib.vggt.memory`; nothing is counted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from scipy.optimize import nnls

from lib import sweep
from lib.costs.measure import OPERATIONS, PLAIN
from lib.costs.operations import Operations, forward_operations
from lib.merging import Setting, TokenLayout
from lib.records import ROOT, Record
from lib.vggt import VGGTConfig
from lib.vggt.memory import MemoryEstimate, estimate_memory

SWEEP = ROOT / "book" / "sweeps" / "scannet-50.yml"
KINDS = ("one for each token", "global attention", "matching", "moved by merging")  # each has its own rate
Array = NDArray[np.float64]


def planned(path: Path = SWEEP) -> list[dict[str, Any]]:
    """Parameters of every run that a sweep's file asks for, in its order."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [params for entry in entries for params in sweep.grid(entry["params"])]


def by_kind(found: Operations, config: VGGTConfig, tokens: int, merged: bool) -> Array:
    """(4,) counts by `KINDS`. The embedding, projections, MLPs and attention within frames are one kind.

    Moved are the numbers of one stream in all global blocks, where tokens merge: gathered and copied back.
    """
    per_token = found.embedding + found.dense + found.frame_attention
    moved = config.depth * config.width * tokens * merged
    return np.array([per_token, found.global_attention, found.matching, moved], dtype=np.float64)


def counts(config: VGGTConfig, frames: int, size: tuple[int, int], rule: str, m: float) -> Array:
    """(4,) counts of one pass over pictures of (height, width) pixels, by `KINDS`."""
    layout = config.layout(frames, *size)
    return by_kind(operations(config, layout, rule, m), config, layout.tokens, m > 0)


@cache
def operations(config: VGGTConfig, layout: TokenLayout, rule: str, m: float, seed: int = 33) -> Operations:
    """Operations of one pass under a rule as runs use it; nothing is computed but counts.

    Raises:
        ValueError: an unknown rule, or an m that it does not reach.
    """
    found = Setting(rule, m).merging(seed)
    if found is None:
        return forward_operations(config, layout)
    matching = found.matching_operations(layout, config.width)
    return forward_operations(config, layout, found.kept_pairs(layout), matching)


@dataclass(frozen=True)
class Pass:
    """A measured pass: counts by `KINDS`, seconds (of the fastest turn), peak in bytes beyond weights."""

    frames: int
    m: float
    rule: str
    counts: Array
    seconds: float
    peak: float


def passes(record: Record, config: VGGTConfig) -> list[Pass]:
    """What one run of ``book/runs/runtime.ipynb`` measured: without merging and under each rule."""
    clock = "CPU" if record.device.startswith("cpu") else "wall"
    frames, tokens = int(record["frames"]), int(record["tokens"])
    found = []
    for rule in record["variants"]:
        m = 0.0 if rule == PLAIN else float(record.params["m"])
        counted = Operations(**dict(zip(OPERATIONS, record[f"{rule}: operations"], strict=True)))
        seconds = float(np.min(record[f"{rule}: whole, {clock}"]))
        peak = float(record[f"{rule}: peak"]) * 2**20
        found.append(Pass(frames, m, rule, by_kind(counted, config, tokens, m > 0), seconds, peak))
    return found


@dataclass(frozen=True)
class Rates:
    """Counts a second by `KINDS`, of one machine; `inf` where a kind was never seen to cost anything."""

    per_second: Array

    def seconds(self, counted: Array) -> float:
        """Of a pass with so many counts of each kind."""
        return float((counted / self.per_second).sum())

    def times(self, factor: float) -> Rates:
        """A machine so many times as fast."""
        return Rates(self.per_second * factor)


def fit_rates(shown: Sequence[Pass]) -> Rates:
    """Least squares of relative errors with constants that are not negative.

    Raises:
        ValueError: fewer passes than constants.
    """
    if len(shown) < len(KINDS):
        raise ValueError(f"{len(KINDS)} constants need at least as many passes, got {len(shown)}")
    design = np.stack([one.counts / one.seconds for one in shown])
    scale = design.max(axis=0)
    solved, _ = nnls(design / scale, np.ones(len(shown)))
    with np.errstate(divide="ignore"):
        return Rates(scale / solved)


def card_rates(plain: Array, plain_seconds: float, merged: Array, merged_seconds: float) -> Rates:
    """Of a card with one rate for all operations, from an unmerged pass, and one for moving, from a merged.

    Raises:
        ValueError: the merged pass took no longer than its operations alone.
    """
    rate = plain[:3].sum() / plain_seconds
    left = merged_seconds - merged[:3].sum() / rate
    if left <= 0:
        raise ValueError(f"{merged_seconds} s leave nothing for moving: operations alone take longer")
    return Rates(np.array([rate, rate, rate, merged[3] / left]))


def mean_ratio(measured: Sequence[float], counted: Sequence[float]) -> float:
    """Geometric mean of measured over counted."""
    return float(np.exp(np.mean(np.log(np.array(measured) / np.array(counted)))))


def memory(config: VGGTConfig, frames: int, size: tuple[int, int], rule: str, m: float) -> MemoryEstimate:
    """Of a run on a GPU, merged or not, as `lib.run` asks for it; size: (height, width) in pixels."""
    layout = config.layout(frames, *size)
    found = Setting(rule, m).merging(0)
    kept = None if found is None else found.kept(layout)
    return estimate_memory(config, frames, *size, kept=kept, autocast=torch.bfloat16)


def activations(config: VGGTConfig, frames: int, size: tuple[int, int]) -> int:
    """Bytes of an unmerged pass in float32 beyond weights and images: what `Pass.peak` measures."""
    found = estimate_memory(config, frames, *size)
    return found.activations - found.images


def ratio_error(forecast: Iterable[float], measured: Iterable[float]) -> Array:
    """Forecast over measured minus one, each."""
    return np.array(list(forecast)) / np.array(list(measured)) - 1


@dataclass(frozen=True)
class Bill:
    """What one setting of the sweep costs for all its scenes. counts: of one pass, by `KINDS`."""

    rule: str
    m: float
    runs: int
    counts: Array

    def hours(self, rates: Rates) -> float:
        """Of one machine."""
        return self.runs * rates.seconds(self.counts) / 3600


def bills(
    runs: Sequence[Mapping[str, Any]], config: VGGTConfig, size: tuple[int, int], rule: str = "fastvggt"
) -> list[Bill]:
    """One for each rule and strength, in the order of the runs. rule: of a run that names none."""
    cells = Counter((str(run.get("rule", rule)), float(run["m"]), int(run["frames"])) for run in runs)
    return [
        Bill(PLAIN if m == 0 else name, m, number, counts(config, frames, size, name, m))
        for (name, m, frames), number in cells.items()
    ]

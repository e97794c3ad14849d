"""Seconds, memory and operations against m: what the records of `runtime` say, and their figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from book.study.fits import Fit, local_exponents, polynomial
from book.study.intervals import Interval
from book.study.style import PALETTE, RULES, intervals
from lib import records
from lib.costs.measure import OPERATIONS, PLAIN
from lib.costs.stopwatch import PARTS

Array = NDArray[np.float64]
PART_COLOURS = dict(
    zip(PARTS, ("orange", "sky", "green", "blue", "vermilion", "purple", "grey", "black"), strict=True)
)


def seconds(record: records.Record, variant: str, part: str, clock: str = "CPU") -> float:
    """Median over the passes of a run, s."""
    return float(np.median(record[f"{variant}: {part}, {clock}"]))


def operations(record: records.Record, variant: str, part: str | None = None) -> float:
    """Operations of one pass without heads: of one of `OPERATIONS`, or all."""
    found = dict(zip(OPERATIONS, record[f"{variant}: operations"], strict=True))
    return float(sum(found.values()) if part is None else found[part])


@dataclass(frozen=True)
class Curve:
    """One rule against m; the first entry is m = 0, where time and operations are one.

    strengths, kept, time, operations (rows,): time is the median of the aggregator's seconds over that of the
    plain passes of the same run; low, high: the same turn by turn, smallest and largest.
    """

    strengths: Array
    kept: Array
    time: Array
    low: Array
    high: Array
    operations: Array

    @property
    def exponents(self) -> Array:
        """ln T / ln(1−m) for every m > 0."""
        return local_exponents(self.time[1:], 1 - self.strengths[1:])[0]


def curve(runs: Sequence[tuple[float, records.Record, str]], clock: str = "CPU") -> Curve:
    """From (m, record, name of the variant) for every m > 0, in order of m."""
    rows = [(0.0, 1.0, 1.0, 1.0, 1.0, 1.0)]
    for m, record, name in runs:
        mine, plain = (np.array(record[f"{v}: aggregator, {clock}"]) for v in (name, PLAIN))
        turns = mine / plain
        counted = operations(record, name) / operations(record, PLAIN)
        time = float(np.median(mine) / np.median(plain))
        rows.append((m, record[f"{name}: kept"], time, turns.min(), turns.max(), counted))
    return Curve(*np.array(rows, dtype=float).T)


def laws(strengths: Array, time: Array) -> dict[str, float]:
    """Held-out error (root mean square) of laws for relative times, by name; rows include m = 0.

    A law with constants is fitted to all rows but one and judged on that one, in turn. (1−m)² has none: its
    error is over m > 0.
    """
    x = 1 - strengths
    return {
        "(1−m)², nothing fitted": float(np.sqrt(np.mean((time - x**2)[1:] ** 2))),
        "c(1−m)²": Fit(x[:, None] ** 2, time).leave_one_out,
        "a + c(1−m)²": Fit(polynomial(x, 2)[:, [0, 2]], time).leave_one_out,
        "a + b(1−m)": Fit(polynomial(x, 1), time).leave_one_out,
        "a + b(1−m) + c(1−m)²": Fit(polynomial(x, 2), time).leave_one_out,
    }


def against_m(curves: Mapping[str, Curve], strengths: Sequence[float], printed: Sequence[float]) -> Figure:
    """Relative time against m, and against the share of tokens really kept, beside the printed runtimes."""
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.0), sharey=True)
    fine = np.linspace(0, 0.93, 100)
    axes[0].plot(fine, (1 - fine) ** 2, "--", color=PALETTE["grey"], label="(1−m)², resp. (N′/N)²")
    axes[1].plot(1 - fine, (1 - fine) ** 2, "--", color=PALETTE["grey"])
    axes[0].plot(strengths, printed, "*", ms=10, color=PALETTE["black"], label="printed Table 2")
    for number, (name, c) in enumerate(curves.items()):
        shift = 0.008 * (number - (len(curves) - 1) / 2)  # so that bars do not hide each other
        colour, marker = RULES[name]
        turns = [Interval(t, min(t, a), max(t, b)) for t, a, b in zip(c.time, c.low, c.high, strict=True)]
        for ax, x in zip(axes, (c.strengths, c.kept), strict=True):
            intervals(ax, x[1:] + shift, turns[1:], colour, fmt=marker, ms=5)
            ax.plot(x, c.operations, "-", lw=1.2, color=PALETTE[colour])
        axes[0].plot([], [], f"{marker}-", color=PALETTE[colour], label=name)
    axes[0].set(
        yscale="log", ylim=(0.05, 1.5), xlabel="fusion strength m asked for", ylabel="relative to m = 0"
    )
    axes[0].set_yticks([0.05, 0.1, 0.2, 0.5, 1], ["0.05", "0.1", "0.2", "0.5", "1"])
    axes[0].minorticks_off()
    axes[1].set(xlim=(1.03, 0.05), xlabel="N′/N really kept")
    axes[0].legend(loc="lower left")
    return figure


def where_time_goes(bars: Mapping[str, tuple[records.Record, str]]) -> Figure:
    """Stacked seconds of the parts of a pass; ``bars``: label -> (record, variant)."""
    figure, ax = plt.subplots(figsize=(9.0, 0.9 + 0.33 * len(bars)))
    left = np.zeros(len(bars))
    for part in PARTS:
        width = np.array([seconds(record, name, part) for record, name in bars.values()])
        ax.barh(list(bars), width, left=left, height=0.7, color=PALETTE[PART_COLOURS[part]], label=part)
        left += width
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set(xlabel="CPU seconds of one pass")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def half_table(record: records.Record) -> pd.DataFrame:
    """Of a record of `benchmarks/half.py`, by network: seconds of both, their ratio, the farthest output.

    The output is the one of cameras, depth and points that moves most, relative to its length.
    """
    rows = {}
    for name in record.params["models"]:
        full, half = (record[f"{name}: {dtype}_s"] for dtype in ("float32", "bfloat16"))
        moved = max(record[f"{name}: {output}"] for output in ("pose_enc", "depth", "world_points"))
        rows[name] = {
            "float32, s": full,
            "bfloat16, s": half,
            "times as fast": full / half,
            "moved by": moved,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def parts_table(record: records.Record, ways: Sequence[str]) -> pd.DataFrame:
    """Of a record of `benchmarks/forward.py`: each part's seconds, share and speed, for each way of running.

    Speed is the operations that torch counts over the seconds, over the same of a bare matrix product. A part
    that a way does not have is left blank, and left out where none has it.
    """
    parts = [name.split(": ")[1] for name in record.measurements if name.startswith(f"{ways[0]}: ")]
    rows = {}
    for part in dict.fromkeys(parts):
        row: dict[tuple[str, str], float] = {}
        for way in ways:
            spent, counted = record[f"{way}: {part}: seconds"], f"{way}: {part}: operations"
            row[way, "seconds"] = spent
            row[way, "share"] = spent / record[f"{way}: whole: seconds"]
            if spent and counted in record.measurements:
                row[way, "of product"] = record[counted] / spent / record["product"]
        if any(row[way, "seconds"] for way in ways):
            rows[part] = row
    return pd.DataFrame.from_dict(rows, orient="index")

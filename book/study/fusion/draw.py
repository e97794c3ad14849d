"""Entropy and effective rank against the fusion strength: Fig. 3 measured, laws, the split, depth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from book.study.intervals import median_interval
from book.study.style import PALETTE, intervals, shared_legend

Array = NDArray[np.float64]
MARKS = (("o-", "vermilion"), ("s-", "blue"), ("^--", "green"), ("D:", "purple"), ("v:", "orange"))


@dataclass(frozen=True)
class Curve:
    """A quantity against m: (rows,) m asked for, (rows,) N'/N kept, (rows, scenes) values."""

    m: Array
    kept: Array
    values: Array


def points(ax: Axes, x: Array, values: Array, mark: str, colour: str, label: str | None = None) -> None:
    """Medians over scenes (second axis of `values`) with 95 % bootstrap intervals."""
    found = [median_interval(row, seed=0) for row in values]
    intervals(ax, x, found, colour, label, fmt=mark)


def against_m(
    printed: Mapping[str, Array],
    printed_label: str,
    curves: Mapping[str, Mapping[str, tuple[Mapping[str, Curve], str]]],
) -> Figure:
    """Fig. 3 as printed (first column) and as measured (one column a matrix).

    Args:
        printed: "m", and "rank" and "entropy" with rows (measured, theory).
        printed_label: title of its column.
        curves: "rank" and "entropy" -> matrix -> (series -> curve, label of the axis).
    """
    columns = list(curves["rank"])
    figure, axes = plt.subplots(
        2, 1 + len(columns), figsize=(2.75 * (1 + len(columns)), 5.4), sharex=True, squeeze=False
    )
    for row, quantity in enumerate(("rank", "entropy")):
        ax = axes[row, 0]
        ax.plot(printed["m"], printed[quantity][0], "o", color=PALETTE["black"], ms=4, label="measured")
        ax.plot(printed["m"], printed[quantity][1], "-", color=PALETTE["grey"], lw=1, label="theory")
        for ax, matrix in zip(axes[row, 1:], columns, strict=True):
            series, label = curves[quantity][matrix]
            for shift, ((mark, colour), (name, curve)) in enumerate(zip(MARKS, series.items(), strict=False)):
                style = mark if len(curve.m) > 2 else mark[0]  # two points are no course
                points(ax, curve.m + 0.012 * (shift - 1.5), curve.values, style, colour, name)
            ax.set_title(label, fontsize=9.5)
    axes[0, 0].set(title=printed_label, ylabel="effective rank")
    axes[0, 0].title.set_fontsize(9.5)
    axes[1, 0].set_ylabel("H / ln k")
    axes[0, 0].legend(loc="lower right")
    for ax in axes[1]:
        ax.set(xlabel="m asked for", xticks=[0, 0.3, 0.5, 0.7, 0.9])
    shared_legend(figure, axes[0, 1])
    return figure


def laws(panels: Mapping[str, Mapping[str, Curve]], until: float) -> Figure:
    """Measured ranks against m with what two laws say of them, one panel a rule.

    Args:
        panels: title -> "measured", "fitted" (the paper's law) and "static" curves of one rule.
        until: the law was fitted up to this m; beyond it the panel is shaded.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), 3.5), squeeze=False)
    for ax, (title, curve) in zip(axes[0], panels.items(), strict=True):
        m = curve["measured"].m
        ax.axvspan(until + 0.1, 0.95, color=PALETTE["grey"], alpha=0.12, lw=0)
        points(ax, m, curve["measured"].values, "o", "black", "measured, propagated")
        law = curve["fitted"]
        ax.plot(law.m, np.median(law.values, 1), "--", color=PALETTE["vermilion"], lw=1.4,
                label=f"ln r = a + b m, fitted on m ≤ {until:g}")  # fmt: skip
        static = curve["static"]
        ax.plot(static.m, np.median(static.values, 1), "-", color=PALETTE["blue"], lw=1.4,
                label="static, one unmerged pass, no fit")  # fmt: skip
        kept = ", ".join(f"{k:.2f}" for k in curve["measured"].kept)
        ax.set(xlabel=f"fusion strength m asked for\nkept N′/N: {kept}", xlim=(-0.05, 0.95))
        ax.set(title=title, ylim=(0, None), xticks=m)
    axes[0, 0].set_ylabel("effective rank of the N′ × N′ matrix")
    axes[0, 0].legend()
    return figure


def parts(bars: Mapping[str, Mapping[str, tuple[Array, Array]]], names: Sequence[str]) -> Figure:
    """Static and dynamic part of the change of ln r, one panel a matrix, one pair of bars a run.

    Args:
        bars: matrix -> run -> (static, dynamic), (scenes,) each.
        names: the runs, in order from top to bottom.
    """
    figure, axes = plt.subplots(
        1, len(bars), figsize=(3.4 * len(bars), 0.34 * len(names) + 1.3), sharey=True, squeeze=False
    )
    rows = np.arange(len(names))[::-1].astype(float)
    for ax, (matrix, runs) in zip(axes[0], bars.items(), strict=True):
        for index, (label, colour) in enumerate((("static", "vermilion"), ("dynamic", "blue"))):
            found = [median_interval(runs[name][index], seed=0) for name in names]
            place = rows + 0.19 - 0.38 * index
            ax.barh(place, [i.median for i in found], height=0.36, color=PALETTE[colour], label=label)
            intervals(ax, place, found, "black", across=True, fmt="none", lw=1, capsize=1.5)
        ax.axvline(0, color=PALETTE["black"], lw=0.8)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.set(title=matrix, xlabel="change of ln $r_\\mathrm{eff}$ since m = 0")
    axes[0, 0].set_yticks(rows, names)
    axes[0, -1].legend(loc="best")
    return figure


def depth(panels: Mapping[str, Mapping[str, Array]]) -> Figure:
    """Quantities against the block, one panel each, one line a run.

    Args:
        panels: label of the axis -> run -> (scenes, layers).
    """
    rows = 2
    columns = -(-len(panels) // rows)
    figure, axes = plt.subplots(rows, columns, figsize=(3.2 * columns, 5.2), sharex=True, squeeze=False)
    for ax, (label, runs) in zip(axes.ravel(), panels.items(), strict=False):
        for shift, ((mark, colour), (name, values)) in enumerate(zip(MARKS, runs.items(), strict=False)):
            blocks = np.arange(1, values.shape[1] + 1) + 0.07 * (shift - (len(runs) - 1) / 2)
            points(ax, blocks, values.T, mark, colour, name)
        ax.set_title(label, fontsize=9.5)
        ax.set_ylim(0, None)
    for ax in axes[-1]:
        ax.set_xlabel("global block")
    shared_legend(figure, axes[0, 0])
    return figure


def pooled_against_m(panels: Mapping[int, tuple[Sequence[str], Array, Array]]) -> Figure:
    """Attention between frames against m, a line a room with the median, and the static median beside it.

    Args:
        panels: number of frames -> (settings, values in merged runs, values of the unmerged tokens looked at
            as merged), both (settings, rooms).
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(9.6, 3.2), squeeze=False)
    for ax, (frames, (settings, moved, same)) in zip(axes[0], panels.items(), strict=True):
        m = [float(name.split()[1]) if " " in name else 0.0 for name in settings]
        ax.plot(m, moved, color=PALETTE["grey"], lw=0.8, alpha=0.8)
        ax.plot(m, np.median(moved, 1), "o-", color=PALETTE["vermilion"], lw=2, label="merged runs")
        ax.plot(m, np.median(same, 1), "s--", color=PALETTE["blue"], lw=1.6, ms=4, label="static")
        ax.set(title=f"{frames} frames", xlabel="m", ylim=(0, None))
    axes[0, 0].set_ylabel("H / ln S")
    axes[0, 0].legend(fontsize=8.5)
    return figure

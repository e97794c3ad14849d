"""Figures of the chapter on long sequences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from book.study.intervals import Interval, mean_ratio
from book.study.long_sequences.outcome import FAILURE, Run, failures
from book.study.style import PALETTE

BAR_COLOURS = ("grey", "orange", "sky", "green")
BLOCK_COLOURS = ("sky", "blue", "green", "vermilion", "orange", "purple")


def line_per_room(panels: Mapping[str, tuple[Run, Sequence[str]]]) -> Figure:
    """One panel a run: rotation error of every room in each arm, means on top, the failure line."""
    widths = [len(arms) for _, arms in panels.values()]
    figure, axes = plt.subplots(
        1, len(panels), sharey=True, figsize=(8.4, 4.2), width_ratios=widths, squeeze=False
    )
    for ax, (title, (run, arms)) in zip(axes[0], panels.items(), strict=True):
        rows = np.array([run.errors(arm) for arm in arms])
        ax.plot(rows, color=PALETTE["grey"], lw=0.7, alpha=0.6)
        ax.plot(rows.mean(1), "o-", color=PALETTE["vermilion"], lw=2.2, label="mean over rooms")
        ax.axhline(FAILURE, color=PALETTE["black"], lw=0.8, ls=":")
        ax.set_xticks(range(len(arms)), [arm.replace(", ", ",\n") for arm in arms], fontsize=8.5)
        ax.set(title=title, yscale="log")
    axes[0][0].set_ylabel("rotation error (°)")
    axes[0][0].legend(loc="lower left")
    return figure


def mass_against_frames(short: Run, others: Sequence[Run], frames: Sequence[int]) -> Figure:
    """Mass on frame 0 against the number of frames: law from `short`, circles measured; a colour a block."""
    figure, axes = plt.subplots(1, 2, sharey=True, figsize=(8.4, 3.8))
    for which, (ax, title) in enumerate(
        zip(axes, ("queries: patches", "queries: camera tokens"), strict=True)
    ):
        curves = np.array([short.law(s)[:, which, 0] for s in frames])
        for block, colour in zip(range(curves.shape[1]), BLOCK_COLOURS, strict=False):
            ax.plot(frames, curves[:, block], color=PALETTE[colour], label=f"block {block}")
            points = [(run.frames, run.mass()[block, which, 0]) for run in (short, *others)]
            ax.plot(*np.transpose(points), "o", color=PALETTE[colour], ms=6)
        ax.plot(frames, 1 / np.asarray(frames, float), color=PALETTE["black"], lw=0.8, ls=":", label="1/S")
        ax.set(title=title, xscale="log", yscale="log", xlabel="number of frames S")
    axes[0].set_ylabel("attention on frame 0")
    axes[1].legend(fontsize=8)
    return figure


def effects(runs: Mapping[str, Run], arms: Sequence[str]) -> Figure:
    """A panel an arm, a row a run: error as a multiple of plain, dots rooms, diamonds ratios of means."""
    figure, axes = plt.subplots(
        1, len(arms), sharex=True, sharey=True, figsize=(8.4, 0.9 + 0.42 * len(runs)), squeeze=False
    )
    for ax, arm in zip(axes[0], arms, strict=True):
        for row, run in enumerate(runs.values()):
            if arm in run.arms:
                new, plain = run.errors(arm), run.errors("plain")
                ax.plot(
                    new / plain, np.full(len(new), row + 0.22), "o", color=PALETTE["grey"], ms=3, alpha=0.6
                )
                _ratio(ax, row - 0.12, mean_ratio(new, plain))
        _ratio_axis(ax)
        ax.set_title(arm)
    axes[0][0].set_yticks(range(len(runs)), list(runs), fontsize=8.5)
    axes[0][0].invert_yaxis()
    return figure


def causes(run: Run, rows: Mapping[str, str]) -> Figure:
    """Rotation error of arms as a multiple of plain with intervals; `rows`: what to call an arm -> arm."""
    figure, ax = plt.subplots(figsize=(7.2, 0.8 + 0.34 * len(rows)))
    for row, arm in enumerate(rows.values()):
        _ratio(ax, row, mean_ratio(run.errors(arm), run.errors("plain")))
    ax.set_yticks(range(len(rows)), list(rows))
    ax.invert_yaxis()
    _ratio_axis(ax)
    return figure


def _ratio(ax: Axes, row: float, ratio: Interval) -> None:
    if ratio.high < math.inf:
        ax.plot([ratio.low, ratio.high], [row, row], color=PALETTE["vermilion"], lw=2)
    ax.plot(ratio.median, row, "D", color=PALETTE["vermilion"], ms=5.5)


def _ratio_axis(ax: Axes) -> None:
    ax.axvline(1, color=PALETTE["black"], lw=0.8, ls=":")
    ax.set(xscale="log", xlim=(0.1, 6), xlabel="rotation error ÷ plain")
    ax.set_xticks([0.1, 0.25, 0.5, 1, 2, 4], ["0.1", "¼", "½", "1", "2", "4"])
    ax.minorticks_off()


def bars(runs: Mapping[str, Run], arms: Sequence[str]) -> Figure:
    """Mean rotation error of each arm for each run that has it, with the number of rooms that fail."""
    across = min(3, len(runs))
    down = math.ceil(len(runs) / across)
    figure, axes = plt.subplots(down, across, figsize=(8.4, 0.4 + 2.5 * down), squeeze=False)
    for ax, (title, run) in zip(axes.flat, runs.items(), strict=False):
        _bars(ax, run, arms)
        ax.set_title(f"{title}\n{len(run.scenes)} rooms", fontsize=9.5)
    for ax in axes.flat[len(runs) :]:
        ax.set_visible(False)
    figure.supylabel("mean rotation error (°)", fontsize=10)
    return figure


def _bars(ax: Axes, run: Run, arms: Sequence[str]) -> None:
    measured = [arm for arm in arms if arm in run.arms]
    for place, arm in enumerate(measured):
        errors = run.errors(arm)
        spread = errors.std(ddof=1) / len(errors) ** 0.5
        colour, ink = PALETTE[BAR_COLOURS[arms.index(arm)]], PALETTE["black"]
        ax.bar(place, errors.mean(), yerr=spread, color=colour, ecolor=ink)
        top = (place, errors.mean() + spread)
        ax.annotate(
            f"{failures(run, arm)}", top, (0, 2), textcoords="offset points", ha="center", fontsize=8.5
        )
    ax.set_xticks(range(len(measured)), measured, fontsize=8.5)
    ax.margins(y=0.14)
    ax.grid(axis="x", visible=False)

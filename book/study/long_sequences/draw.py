"""Figures of the chapter on long sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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


def mass_against_frames(short: Run, long: Run, frames: Sequence[int]) -> Figure:
    """Mass on frame 0 against the number of frames: law from `short`, measured in both; a colour a block."""
    figure, axes = plt.subplots(1, 2, sharey=True, figsize=(8.4, 3.8))
    for which, (ax, title) in enumerate(
        zip(axes, ("queries: patches", "queries: camera tokens"), strict=True)
    ):
        curves = np.array([short.law(s)[:, which, 0] for s in frames])
        for block, colour in zip(range(curves.shape[1]), BLOCK_COLOURS, strict=False):
            ax.plot(frames, curves[:, block], color=PALETTE[colour], label=f"block {block}")
            points = [run.mass()[block, which, 0] for run in (short, long)]
            ax.plot([short.frames, long.frames], points, "o", color=PALETTE[colour], ms=6)
        ax.plot(frames, 1 / np.asarray(frames, float), color=PALETTE["black"], lw=0.8, ls=":", label="1/S")
        ax.set(title=title, xscale="log", yscale="log", xlabel="number of frames S")
    axes[0].set_ylabel("attention on frame 0")
    axes[1].legend(fontsize=8)
    return figure


def bars(runs: Mapping[str, Run], arms: Sequence[str]) -> Figure:
    """Mean rotation error of each arm for each run that has it, with the number of rooms that fail."""
    widths = [sum(arm in run.arms for arm in arms) for run in runs.values()]
    figure, axes = plt.subplots(1, len(runs), figsize=(8.4, 3.4), width_ratios=widths, squeeze=False)
    for ax, (title, run) in zip(axes[0], runs.items(), strict=True):
        _bars(ax, run, arms)
        ax.set_title(title, fontsize=9.5)
    axes[0][0].set_ylabel("mean rotation error (°)")
    return figure


def _bars(ax: Axes, run: Run, arms: Sequence[str]) -> None:
    measured = [arm for arm in arms if arm in run.arms]
    for place, arm in enumerate(measured):
        errors = run.errors(arm)
        spread = errors.std(ddof=1) / len(errors) ** 0.5
        ax.bar(place, errors.mean(), yerr=spread, color=PALETTE[BAR_COLOURS[arms.index(arm)]])
        ax.text(place, errors.mean() * 0.04, f"{failures(run, arm)}/{len(errors)}", ha="center", fontsize=8)
    ax.set_xticks(range(len(measured)), measured, rotation=25, ha="right", fontsize=8.5)
    ax.grid(axis="x", visible=False)

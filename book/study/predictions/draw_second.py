"""Figures of chapter "The second round", from the arrays of its records."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from book.study.hypothesis import Hypothesis
from book.study.predictions.declared import SECOND
from book.study.predictions.heads import clear_cases
from book.study.style import PALETTE, shared_legend
from lib.merging import FastVGGTRule, TokenLayout
from lib.records import Record

Arrays = Mapping[str, NDArray[np.float64]]
Columns = Mapping[str, Mapping[str, Record]]  # heading -> run -> record
COLOURS = ("blue", "vermilion", "green", "purple", "orange", "sky")


def words(columns: Columns, prediction: Hypothesis) -> dict[str, str]:
    """Heading -> outcome, where the run that decides it exists."""
    return {
        heading: prediction.judge(runs[prediction.run][prediction.quantity])
        for heading, runs in columns.items()
        if prediction.run in runs
    }


def kept(columns: Columns) -> dict[str, tuple[int, int]]:
    """Heading -> how many predictions came out as predicted, of how many that were decided."""
    found = {}
    for heading in columns:
        said = [words(columns, p).get(heading) for p in SECOND]
        decided = [w for w in said if w in ("as predicted", "refuted")]
        found[heading] = (decided.count("as predicted"), len(decided))
    return found


def _diagonal(ax: Axes, low: float, high: float) -> None:
    ax.plot([low, high], [low, high], color=PALETTE["grey"], lw=1, zorder=0)


def sinks(columns: Columns) -> Figure:
    """P16, P17: share of frame 0 in every head of every block, predicted from eight frames, and restored."""
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.6), sharey=True)
    places = (("main", "law", "long", "S = 32"), ("denser 128", "law", "long", "S = 128"))
    for ax, (run, law, measured, title) in zip(
        axes, (*places, ("denser 128", "short", "restored", "S = 128, weighted")), strict=True
    ):
        for (heading, runs), colour in zip(columns.items(), COLOURS, strict=False):
            if run in runs:
                x, y = (runs[run].arrays[f"sink.{name}"].mean(0).ravel() for name in (law, measured))
                ax.plot(x, y, "o", ms=3.5, color=PALETTE[colour], label=heading)
        _diagonal(ax, 0, 1)
        ax.set(title=title, xlabel="share in 8 frames" if law == "short" else "share by T3′")
    axes[0].set_ylabel("share of frame 0, measured")
    axes[0].legend(fontsize=8)
    return figure


def first_changes(columns: Columns) -> Figure:
    """P14: change of the spread, measured and predicted; beside it how often four criteria have the sign."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 4.2), width_ratios=[1.2, 1])
    names = ("first_change_sign", "first_change_uniform", "first_change_pull", "first_change_length")
    labels = ("T5′", "uniform\nattention", "V = I,\nβ = 0", "$|M_w|^2-|M|^2$\n(P4)")
    width = 0.8 / len(columns)
    for k, ((heading, runs), colour) in enumerate(zip(columns.items(), COLOURS, strict=False)):
        if "main" not in runs:
            continue
        cases = clear_cases(runs["main"].arrays["first"])
        left.plot(1e3 * cases[:, 1], 1e3 * cases[:, 0], "o", ms=3, color=PALETTE[colour], label=heading)
        shares = [runs["main"][name] for name in names]
        right.bar(np.arange(4) + (k - (len(columns) - 1) / 2) * width, shares, width, color=PALETTE[colour])
    _diagonal(left, *left.get_xlim())
    left.set(xlabel="T5′, 10⁻³", ylabel="change of the spread by merging, 10⁻³")
    shared_legend(figure, left, ncols=3, fontsize=8)
    right.axhline(0.5, color=PALETTE["black"], lw=0.8, ls=":")
    right.set(xticks=range(4), xticklabels=labels, ylabel="share of signs right", ylim=(0, 1))
    return figure


def odds_changes(columns: Columns) -> Figure:
    """P20: Δ ln odds of each global attention branch and room: V = I, uniform attention, signed law."""
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 4.0), sharey=True)
    titles = ((4, "V = I, measured steps"), (2, "uniform attention"), (3, "signed law, κ, ν measured"))
    for ax, (column, title) in zip(axes, titles, strict=True):
        for (heading, runs), colour in zip(columns.items(), COLOURS, strict=False):
            if "main" in runs:
                rows = runs["main"].arrays["odds"]
                rows = rows[:, rows[0, :, 6] == 1].reshape(-1, 7)
                ax.plot(rows[:, column], rows[:, 1], "o", ms=3, color=PALETTE[colour], label=heading)
        _diagonal(ax, -0.8, 0.8)
        ax.axhline(0, color=PALETTE["black"], lw=0.8)
        ax.set(xlabel="predicted", title=title)
    axes[0].set_ylabel("Δ ln odds, measured")
    shared_legend(figure, axes[1], ncols=3, fontsize=8)
    return figure


def against_null(columns: Columns) -> Figure:
    """P22: effective rank of merged matrices over that of as many random tokens, by block."""
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.3), sharey=True)
    for k, (ax, title) in enumerate(zip(axes, ("m = 0.2", "saturation"), strict=True)):
        for (heading, runs), colour in zip(columns.items(), COLOURS, strict=False):
            if "main" in runs:
                null = runs["main"].arrays["null"][:, :, k]
                ratio = (null[..., 0] / null[..., 1]).mean(0)
                ax.plot(range(1, len(ratio) + 1), ratio, "o-", color=PALETTE[colour], ms=4, label=heading)
        ax.axhline(1, color=PALETTE["black"], lw=0.8)
        ax.set(xlabel="global block", title=title)
    axes[0].set_ylabel("rank / rank of random tokens")
    axes[0].legend(fontsize=8)
    return figure


def rows_kept(m: float, frames: int, patches: tuple[int, int], special: int) -> int:
    """N′ of the released rule at m: a count, the same for any features."""
    layout = TokenLayout(frames, *patches, special)
    features = torch.randn(1, layout.tokens, 4, generator=torch.Generator().manual_seed(0))
    plan = FastVGGTRule(m).plan(features, layout)
    return layout.tokens if plan is None else plan.key_length


def held_out_rank(arrays: Arrays, rows: tuple[int, int, int, int]) -> dict[str, float]:
    """Mean relative error of four guesses of the effective rank of merged runs at m = 0.3, by rooms.

    rows: N′ at m = 0, 0.2, 0.3 and 0.9. "size": a curve through the ranks of random subsets of the unmerged
    matrix of those sizes, straight between them in ln r and ln N′; no merged matrix is seen. "constant": the
    unmerged rank. "line", "exponential": r, or ln r as in the paper, straight in m between the merged
    matrices at m = 0.2 and 0.9.
    """
    plain, _, _, truth = arrays["split.ranks"][:, 0].mean(1).T
    null, merged = arrays["null"][..., 1].mean(1), arrays["null"][..., 0].mean(1)
    at = np.log(rows[2])
    x = np.log([rows[3], rows[1], rows[0]])
    size = [np.exp(np.interp(at, x, np.log([n[1], n[0], p]))) for n, p in zip(null, plain, strict=True)]
    part = (0.3 - 0.2) / (0.9 - 0.2)
    logs = np.log(merged)
    guesses = {
        "size": np.array(size),
        "constant": plain,
        "line": (1 - part) * merged[:, 0] + part * merged[:, 1],
        "exponential": np.exp((1 - part) * logs[:, 0] + part * logs[:, 1]),
    }
    return {name: float(np.abs(guess / truth - 1).mean()) for name, guess in guesses.items()}

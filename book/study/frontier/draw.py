"""The frontier: error against what is spent, one panel a network, one line a rule."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from book.study.frontier.best import PAIRS, Cost, Frontier
from book.study.frontier.measure import OPEN
from book.study.style import PALETTE, RULES, shared_legend

COLUMNS = 3
TICKS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0)
LABELS: Mapping[Cost, str] = {"pairs": "query–key pairs left", "seconds": "seconds over unmerged"}


def look(rule: str) -> tuple[str, str, bool]:
    """Colour, marker and whether the marker is filled: rules that protect nothing are hollow."""
    kind = "regions" if "regions" in rule else rule.removesuffix(OPEN)
    return *RULES[kind], not rule.endswith(OPEN)


def curves(runs: Mapping[str, Frontier], kind: Cost) -> Figure:
    """Error over the unmerged run, means over rooms, against the median cost; title -> frontier."""
    rows = -(-len(runs) // COLUMNS)
    figure, axes = plt.subplots(
        rows,
        COLUMNS,
        figsize=(9.2, 1.2 + 2.5 * rows),
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    for ax, (title, run) in zip(axes.flat, runs.items(), strict=False):
        plain, cost = run.arrays["rotation"][:, 0].mean(), run.cost(kind)
        for rule in run.rules:
            colour, marker, filled = look(rule)
            at = run.columns(rule)
            error = run.arrays["rotation"][:, at].mean(0) / plain
            face, line = (PALETTE[colour], "-") if filled else ("none", "--")
            ax.plot(cost[at], error, marker + line, color=PALETTE[colour], mfc=face, ms=5, lw=1, label=rule)
        ax.axhline(1, color=PALETTE["black"], lw=0.8, ls=":", label="unmerged")
        ax.set(xscale="log", yscale="log", title=title)
    for ax in axes.flat:  # panels share their axes: after all lines are drawn
        _plain_numbers(ax, kind)
    for ax in axes.flat[len(runs) :]:
        ax.set_visible(False)
    for ax in axes.flat[max(len(runs) - COLUMNS, 0) : len(runs)]:  # the lowest of its column
        ax.tick_params(labelbottom=True)
    figure.supxlabel(LABELS[kind], fontsize=10)
    figure.supylabel("rotation error over unmerged", fontsize=10)
    shared_legend(figure, axes[0, 0], "outside upper center", ncols=3, fontsize=8)
    return figure


def _plain_numbers(ax: plt.Axes, kind: Cost) -> None:
    """Ticks as people write numbers; of pairs the points of the run."""
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, 0.9), max(high, 1.12))
    low, high = ax.get_ylim()
    ax.set_yticks([tick for tick in TICKS if low <= tick <= high])
    if kind == "pairs":
        ax.set_xticks(PAIRS)
    else:
        ends = ax.get_xlim()
        ax.set_xticks([tick for tick in np.arange(0.4, 1.3, 0.1) if ends[0] <= tick <= ends[1]])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_minor_locator(NullLocator())
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())

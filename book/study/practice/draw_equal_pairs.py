"""Rules at equal query-key pairs: error against cost, forecast against measured."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from book.study.intervals import median_interval
from book.study.style import PALETTE, RULES, intervals, shared_legend

CONTENDERS = {
    "FastVGGT": RULES["fastvggt"],
    "FastVGGT, no stride": ("orange", "v"),
    "uniform": RULES["uniform"],
    "uniform, nothing protected": ("sky", "^"),
    "grid": RULES["grid"],
    "split": RULES["split"],
    "adaptive, block": RULES["adaptive"],
    "adaptive, pair": ("black", "X"),
}


def trade_off(
    panels: Mapping[str, Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]],
    ylabel: str,
    seed: int,
    plain: Mapping[str, float] | None = None,
) -> Figure:
    """Error against pairs: for each panel and rule medians over scenes with their intervals.

    Rules at the same pairs are drawn side by side, a fraction of a per cent apart.

    Args:
        panels: title -> rule -> (pairs, error), each (scenes, points). plain: title -> error unmerged.
    """
    figure, axes = plt.subplots(
        1, len(panels), figsize=(4.5 * len(panels), 4.2), sharey=plain is None, squeeze=False
    )
    for ax, (title, rules) in zip(axes[0], panels.items(), strict=True):
        for place, (rule, (pairs, error)) in enumerate(rules.items()):
            colour, marker = CONTENDERS[rule]
            spread = [median_interval(column, seed) for column in error.T]
            left = 100 * np.median(pairs, 0) + 0.7 * (place - 3)
            intervals(ax, left, spread, colour, rule, fmt=f"{marker}-", ms=6, lw=1)
        if plain:
            ax.axhline(plain[title], color=PALETTE["grey"], lw=1, ls=":", label="unmerged")
        ax.set(xlabel="query–key pairs left, % (median)", title=title)
    axes[0][0].set_ylabel(ylabel)
    shared_legend(figure, axes[0][0], ncols=4, fontsize=8)
    return figure


def forecast_against_measured(
    panels: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64], Sequence[str]]],
) -> Figure:
    """One dot for each scene and rule: forecast and measured deviation; the line is equality.

    Args:
        panels: title -> forecast and measured (scenes, rules), names (rules,).
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(4.5 * len(panels), 4.3), squeeze=False)
    for ax, (title, (forecast, measured, names)) in zip(axes[0], panels.items(), strict=True):
        for rule, (colour, marker) in CONTENDERS.items():
            columns = [k for k, name in enumerate(names) if name == rule]
            ax.plot(forecast[:, columns].ravel(), measured[:, columns].ravel(), marker, ms=4, mfc="none",
                    color=PALETTE[colour], label=rule)  # fmt: skip
        ends = [min(forecast.min(), measured.min()), max(forecast.max(), measured.max())]
        ax.plot(ends, ends, color=PALETTE["grey"], lw=1)
        ax.set(xscale="log", yscale="log", xlabel="forecast from the unmerged pass", title=title)
        ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if ends[0] / 1.5 < t < 1.5 * ends[1]]
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks(ticks, [f"{t:g}" for t in ticks])
            axis.set_minor_formatter(NullFormatter())
    axes[0][0].set_ylabel("measured deviation of the last tokens")
    shared_legend(figure, axes[0][0], ncols=4, fontsize=8)
    return figure

"""Pictures of what merging costs and saves: the advice on one scene, and rules at equal pairs."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lib.figures.style import PALETTE
from lib.metrics.intervals import median_interval

COLOURS = {"fastvggt": "blue", "uniform": "orange", "grid": "purple", "adaptive": "green"}
CONTENDERS = {
    "FastVGGT": ("blue", "o"),
    "FastVGGT, no stride": ("sky", "s"),
    "uniform": ("orange", "^"),
    "uniform, nothing protected": ("vermilion", "v"),
    "grid": ("purple", "D"),
    "adaptive, block": ("green", "P"),
    "adaptive, pair": ("black", "X"),
}


class Considered(Protocol):
    """A rule, what was asked of it, and whether it weighs merged keys."""

    @property
    def rule(self) -> str: ...
    @property
    def asked(self) -> float: ...
    @property
    def size_bias(self) -> bool: ...


def advice_map(
    settings: Sequence[Considered],
    deviation: NDArray[np.float64],
    saved: NDArray[np.float64],
    chosen: int | None,
    tolerance: float,
    least_gain: float,
) -> Figure:
    """Forecast deviation against operations saved, one dot a setting; the recommended one is ringed."""
    figure, ax = plt.subplots(figsize=(7.2, 4.0))
    for rule, colour in COLOURS.items():
        for bias, fill in ((False, "none"), (True, PALETTE[colour])):
            rows = [k for k, s in enumerate(settings) if s.rule == rule and s.size_bias == bias]
            label = f"{rule}, size bias" if bias else rule
            ax.plot(100 * saved[rows], deviation[rows], marker="o", color=PALETTE[colour], mfc=fill, lw=0.8,
                    ls="-" if bias else "--", label=label)  # fmt: skip
    positive = deviation[deviation > 0]
    bottom = min(tolerance, positive.min() if len(positive) else tolerance) / 2
    right = 1.08 * max(100 * least_gain, 100 * saved.max())
    ax.fill_between([100 * least_gain, right], bottom, tolerance, color=PALETTE["grey"], alpha=0.12, lw=0)
    if chosen is not None:
        ax.plot(100 * saved[chosen], deviation[chosen], "o", ms=15, mfc="none", color=PALETTE["black"])
    ax.set(
        xlabel="operations of the alternating blocks saved, %",
        ylabel="forecast deviation of the last tokens",
        yscale="log",
        xlim=(-0.02 * right, right),
    )
    ax.set_ylim(bottom=bottom)
    ax.legend(fontsize=8, ncols=2)
    return figure


def trade_off(
    panels: Mapping[str, Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]],
    ylabel: str,
    seed: int,
    plain: Mapping[str, float] | None = None,
) -> Figure:
    """Error against pairs: for each panel and rule medians over scenes with their intervals.

    Args:
        panels: title -> rule -> (pairs, error), each (scenes, points). plain: title -> error unmerged.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(4.5 * len(panels), 4.2), sharey=True, squeeze=False)
    for ax, (title, rules) in zip(axes[0], panels.items(), strict=True):
        for rule, (pairs, error) in rules.items():
            colour, marker = CONTENDERS[rule]
            spread = [median_interval(column, seed) for column in error.T]
            middle = np.array([s.median for s in spread])
            ends = np.array([[s.median - s.low for s in spread], [s.high - s.median for s in spread]])
            ax.errorbar(100 * np.median(pairs, 0), middle, ends, fmt=f"{marker}-", ms=6, lw=1, capsize=2,
                        color=PALETTE[colour], label=rule)  # fmt: skip
        if plain:
            ax.axhline(plain[title], color=PALETTE["grey"], lw=1, ls=":", label="unmerged")
        ax.set(xlabel="query–key pairs left, % (median)", title=title)
    axes[0][0].set_ylabel(ylabel)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
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
    axes[0][0].set_ylabel("measured deviation of the last tokens")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    return figure

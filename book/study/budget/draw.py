"""Pictures of the bill, and of how far its forecasts were off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from book.study.budget.model import Bill, Pass, Rates
from book.study.style import PALETTE, RULES
from lib.costs.measure import PLAIN

LOOKS = RULES | {PLAIN: ("black", "*")}  # colour and marker


def of_the_bill(bills: Sequence[Bill], slow: Rates, middle: Rates, fast: Rates, card: str) -> Figure:
    """Hours of one card by rule and strength: a bar from fast to slow, and a mark between."""
    figure, ax = plt.subplots(figsize=(7.6, 0.9 + 0.32 * len(bills)))
    for row, bill in enumerate(bills):
        few, marked, many = (bill.hours(rates) for rates in (fast, middle, slow))
        colour, marker = LOOKS[bill.rule]
        ax.plot([few, many], [row, row], color=PALETTE[colour], lw=7, alpha=0.35, solid_capstyle="butt")
        ax.plot(marked, row, marker, color=PALETTE[colour], ms=8 if bill.rule == PLAIN else 6)
        text = f"{few:.1f} to {many:.1f}"
        ax.annotate(text, (many, row), (6, 0), textcoords="offset points", va="center", fontsize=9)
    names = ["no merging" if bill.rule == PLAIN else f"{bill.rule}, m = {bill.m:g}" for bill in bills]
    ax.set_yticks(range(len(bills)), names)
    ax.invert_yaxis()
    ax.set(xlabel=f"hours of one {card} for all scenes", xlim=(0, None))
    ax.margins(x=0.15)
    ax.grid(axis="y", visible=False)
    return figure


def diagonal(ax: Axes, values: Sequence[float]) -> None:
    """The line on which a forecast is right, over the range of the values."""
    ends = np.array([0.8 * min(values), 1.25 * max(values)])
    ax.plot(ends, ends, color=PALETTE["grey"], lw=1, zorder=0)
    ax.set(xscale="log", yscale="log", xlim=ends, ylim=ends)


_MARKS = (("vermilion", "D", 6), ("blue", "s", 6), ("green", "^", 7))  # of groups that are held out


def of_the_test(shown: Sequence[Pass], held_out: Mapping[str, Sequence[Pass]], rates: Rates) -> Figure:
    """Seconds forecast against seconds measured: passes that fixed the constants, and those held out."""
    figure, ax = plt.subplots(figsize=(6.4, 4.4))
    groups = {"fitted": shown, **held_out}
    marks = {"fitted": ("grey", "o", 4), **dict(zip(held_out, _MARKS, strict=False))}
    for name, group in groups.items():
        colour, marker, size = marks[name]
        seconds, forecast = [p.seconds for p in group], [rates.seconds(p.counts) for p in group]
        ax.plot(seconds, forecast, marker, color=PALETTE[colour], ms=size, ls="", label=name)
    every = [one for group in groups.values() for one in group]
    diagonal(ax, [one.seconds for one in every] + [rates.seconds(one.counts) for one in every])
    ax.set(xlabel="measured, s", ylabel="forecast, s")
    ax.legend(loc="upper left")
    return figure


def of_printed(measured: Sequence[float], forecast: Sequence[float], merged: Sequence[bool]) -> Figure:
    """Seconds that others printed, against the forecast from one of them."""
    figure, ax = plt.subplots(figsize=(6.4, 4.4))
    for kind, colour, marker in ((False, "black", "*"), (True, "vermilion", "o")):
        x = [m for m, is_merged in zip(measured, merged, strict=True) if is_merged is kind]
        y = [f for f, is_merged in zip(forecast, merged, strict=True) if is_merged is kind]
        label = "merged by the released rule" if kind else "not merged"
        ax.plot(x, y, marker, color=PALETTE[colour], ms=8, ls="", label=label)
    diagonal(ax, [*measured, *forecast])
    ax.set(xlabel="printed, s", ylabel="forecast, s")
    ax.legend(loc="upper left")
    return figure

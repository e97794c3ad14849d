"""Pictures of the advice: what each merging rule would save, and on which rooms the alarm sounds."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from book.study.style import PALETTE, RULES
from lib.merging import Setting

ADVISED = (  # label, line, size bias, protections
    ("without size bias", "--", False, True),
    ("with size bias", "-", True, True),
    ("nothing protected", ":", False, False),
)


def advice_map(
    settings: Sequence[Setting],
    deviation: NDArray[np.float64],
    saved: NDArray[np.float64],
    chosen: int | None,
    tolerance: float,
    least_gain: float,
) -> Figure:
    """Forecast deviation against operations saved, one dot a setting; the recommended one is ringed."""
    figure, ax = plt.subplots(figsize=(7.2, 4.0))
    shown = {s.rule: RULES.get(s.rule, ("grey", "o")) for s in settings}
    for rule, (colour, marker) in shown.items():
        for _, line, bias, protected in ADVISED:
            rows = [k for k, s in enumerate(settings) if s == Setting(rule, s.m, bias, protected)]
            if rows:
                fill = PALETTE[colour] if bias else "none"
                ax.plot(
                    100 * saved[rows], deviation[rows], marker + line, color=PALETTE[colour], mfc=fill, lw=0.8
                )
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
    dots = [Line2D([], [], color=PALETTE[c], marker=m, ls="", label=r) for r, (c, m) in shown.items()]
    lines = [Line2D([], [], color=PALETTE["grey"], ls=line, label=label) for label, line, *_ in ADVISED]
    ax.legend(handles=dots + lines, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return figure


def alarms(
    runs: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]], threshold: float, failure: float
) -> Figure:
    """One panel a run: signal of the alarm against rotation error, a dot a room; degrees, logarithmic.

    runs: title -> (signal, error). Rooms that fail lie right of the vertical line; those on which the alarm
    sounds lie above the horizontal one and are filled.
    """
    figure, axes = plt.subplots(1, len(runs), sharex=True, sharey=True, figsize=(8.4, 3.2), squeeze=False)
    for ax, (title, (signal, error)) in zip(axes[0], runs.items(), strict=True):
        right = (signal > threshold) == (error > failure)
        for which, colour in ((right, "blue"), (~right, "vermilion")):
            face = np.where(signal[which] > threshold, PALETTE[colour], "none")
            ax.scatter(error[which], signal[which], s=26, facecolors=face, edgecolors=PALETTE[colour])
        ax.axhline(threshold, color=PALETTE["grey"], lw=0.8)
        ax.axvline(failure, color=PALETTE["grey"], lw=0.8, ls=":")
        ax.set(title=title, xscale="log", yscale="log", xlabel="rotation error (°)")
    axes[0][0].set_ylabel("few frames alone against\nthe same among all (°)")
    return figure

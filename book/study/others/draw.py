"""Figures of others' numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from book.study.others.table import Series
from book.study.style import PALETTE, SERIES


def ratios_against_frames(series: Sequence[Series], lost: Callable[[str], float]) -> Figure:
    """Changed over plain against the number of frames, one line an error; the upper axis shows `lost`.

    Args:
        series: all at the same numbers of frames.
        lost: nats that frame 0 has lost at so many frames.
    """
    figure, ax = plt.subplots(figsize=(6.4, 3.6))
    frames = series[0].frames
    at = [float(f) for f in frames]
    for colour, one in zip(SERIES, series, strict=False):
        ax.plot(at, one.ratios, "o-", color=PALETTE[colour], label=one.error)
    ax.axhline(1, color=PALETTE["black"], lw=0.8)
    ax.set(xscale="log", xlabel="frames", ylabel="merged over plain")
    ax.set_xticks(at, frames)
    ax.xaxis.set_minor_locator(NullLocator())
    upper = ax.secondary_xaxis("top")
    upper.set_xticks(at, [f"{lost(f):.1f}" for f in frames])
    upper.xaxis.set_minor_locator(NullLocator())
    upper.set_xlabel("nats lost by frame 0 (law)", fontsize=9)
    ax.legend()
    return figure

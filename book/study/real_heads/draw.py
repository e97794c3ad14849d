"""Pictures of the chapter on real heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from book.study.hold import fit
from book.study.style import PALETTE

COLOURS = ("vermilion", "blue", "green", "purple")  # of the longest sequences in training, in order
KNOWN = 3  # lengths that a fit is shown


def held(
    entropy: Mapping[str, NDArray[np.float64]], trained: Mapping[str, int], frames: Sequence[int]
) -> Figure:
    """Keys in effect against frames, in the sharpest block of each network, with the law.

    Args:
        entropy: label -> (lengths, rooms, blocks), nats. trained: label -> longest sequence in training.
        frames: the lengths; the law is fitted to the first `KNOWN` and drawn dashed beyond them.
    """
    figure, ax = plt.subplots(figsize=(6.6, 4.2))
    colours = dict(zip(sorted(set(trained.values())), COLOURS, strict=False))
    drawn: set[int] = set()
    for label, values in entropy.items():
        mean, most = values.mean(1), trained[label]
        block = mean[:, int(mean[0].argmin())]
        law, colour = fit(frames[:KNOWN], block[:KNOWN]), PALETTE[colours[most]]
        for line, ends in (("-", (0, KNOWN - 1)), ("--", (KNOWN - 1, -1))):
            at = np.geomspace(frames[ends[0]], frames[ends[1]], 60)
            ax.plot(at, np.exp(law.entropy(at)), line, color=colour, lw=1.2)
        for part, fill in ((slice(KNOWN), colour), (slice(KNOWN, None), "none")):
            ax.plot(frames[part], np.exp(block[part]), "o", color=colour, mfc=fill, ms=5)
        if most not in drawn:
            ax.plot([], [], "o-", color=colour, label=f"to {most} frames")
            drawn.add(most)
    ax.set(xscale="log", yscale="log", xlabel="frames S", ylabel="keys in effect", xticks=frames)
    ax.set_xticks(frames, [str(count) for count in frames])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.legend(title="trained")
    return figure

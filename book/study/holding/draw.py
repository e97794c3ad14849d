"""Pictures of the chapter on the block that holds on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from book.study.fits import growth
from book.study.intervals import median_interval
from book.study.style import PALETTE, intervals, shared_legend


def powers_by_block(
    in_effect: Mapping[str, Mapping[str, np.ndarray]],
    read: Mapping[str, int | None],
    frames: Sequence[int],
    seed: int = 0,
) -> Figure:
    """How fast keys in effect grow, block by block, one panel a network; marked: the block that a loss reads.

    Args:
        in_effect: title -> arrays of `designs.measure`. read: title -> block; None where no loss reads one.
        frames: numbers of frames, the first axis of the arrays. seed: of the bootstrap intervals (95 %).
    """
    figure, axes = plt.subplots(
        2, -(-len(in_effect) // 2), figsize=(9.2, 5.6), sharey=True, squeeze=False, layout="constrained"
    )
    for ax, (title, arrays) in zip(axes.flat, in_effect.items(), strict=True):
        found = [median_interval(rooms, seed) for rooms in growth(arrays["entropy"], frames).T]
        others = [block for block in range(len(found)) if block != read[title]]
        intervals(ax, others, [found[block] for block in others], "blue", "other blocks", fmt="o")
        if (block := read[title]) is not None:
            intervals(ax, [block], [found[block]], "vermilion", "read by the tracking loss", fmt="D")
        ax.axhline(1, color=PALETTE["black"], lw=0.8, ls=":")
        ax.set(title=title, xlabel="global block", xticks=range(len(found)))
    for ax in axes[:, 0]:
        ax.set(ylabel="keys in effect,\npower of S", ylim=(min(0, ax.get_ylim()[0]), None))
    shared_legend(figure, axes.flat[0], "outside upper center")
    return figure

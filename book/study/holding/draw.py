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


def powers_by_head(
    entropy: Mapping[str, np.ndarray], read: Mapping[str, int | None], frames: Sequence[int]
) -> Figure:
    """How fast keys in effect grow in each head: a row a network, a dot a head, medians over rooms.

    Args:
        entropy: label -> "entropy" of `measure`. read: label -> block whose tokens the tracking loss reads;
            None where no loss reads one.
        frames: numbers of frames, the first axis of the arrays.
    """
    figure, ax = plt.subplots(figsize=(7.6, 1.3 + 0.34 * len(entropy)), layout="constrained")
    for place, (label, arrays) in enumerate(entropy.items()):
        powers = np.median(growth(arrays, frames), 0)  # (blocks, heads)
        of_loss = np.zeros(powers.shape, bool)
        if (block := read[label]) is not None:
            of_loss[block] = True
        # Heads side by side within a row, so that equal ones can be counted.
        height = -place + np.linspace(0.3, -0.3, powers.size).reshape(powers.shape)
        for which, colour, mark, name in (
            (~of_loss, "blue", "o", "heads of other blocks"),
            (of_loss, "vermilion", "D", "heads of the block that the tracking loss reads"),
        ):
            ax.plot(
                powers[which], height[which], mark, ms=4, color=PALETTE[colour], label="" if place else name
            )
    ax.axvline(1, color=PALETTE["black"], lw=0.8, ls=":")
    ax.set(yticks=-np.arange(len(entropy)), yticklabels=entropy, ylim=(-len(entropy) + 0.5, 0.5))
    ax.set(xlabel="keys in effect, power of S")
    ax.grid(axis="y", visible=False)
    shared_legend(figure, ax, "outside upper center", ncols=2)
    return figure

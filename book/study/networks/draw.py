"""Pictures of networks of other designs, shapes and seeds: what queries see, and how errors grow."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from book.study.fits import growth
from book.study.intervals import Interval, median_interval
from book.study.shipped import Report, errors, lengths
from book.study.style import PALETTE, intervals, shared_legend

COLOURS = ("vermilion", "blue", "green", "purple")


def keys_in_effect(
    designs: Mapping[str, Mapping[str, np.ndarray]],
    frames: Sequence[int],
    tokens: int,
    at: int,
    seed: int = 0,
) -> Figure:
    """Left: how many keys a patch query has in effect. Right: what the first frame's special tokens draw.

    Args:
        designs: label -> arrays of `designs.measure`, at most as many as there are `COLOURS`.
        frames: numbers of frames, the first axis of those arrays. tokens: of a frame.
        at: number of frames of the right panel.
        seed: of the bootstrap intervals over rooms (95 %).
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.9), layout="constrained")
    left.plot(frames, [tokens * count for count in frames], ls=":", color=PALETTE["black"], label="all keys")
    for place, ((label, arrays), colour) in enumerate(zip(designs.items(), COLOURS, strict=False)):
        by_room = np.exp(arrays["entropy"].mean(-1))  # geometric mean over blocks
        intervals(left, frames, [median_interval(rooms, seed) for rooms in by_room], colour, label)
        share = arrays["sink"][list(frames).index(at)]
        blocks = np.arange(share.shape[1]) + 0.15 * (place - 0.5)
        intervals(right, blocks, [median_interval(rooms, seed) for rooms in share.T], colour, label, fmt="o")
    left.set(xscale="log", yscale="log", xlabel="frames S", ylabel="keys in effect, $e^H$")
    left.set_xticks(frames, [f"{count}" for count in frames])
    left.xaxis.set_minor_locator(NullLocator())
    left.legend()
    right.axhline(1, color=PALETTE["black"], lw=0.8, ls=":")
    right.set(yscale="log", xlabel="global block", ylabel="frame 0 over another frame")
    return figure


def one_by_one(
    causal: Mapping[str, np.ndarray], plain: Mapping[str, np.ndarray], frames: Sequence[int], seed: int = 0
) -> Figure:
    """Left: keys in effect of the fourth and the last frame. Right: rotation error by place in the walk.

    Args:
        causal, plain: arrays of `designs.measure` of a network whose frames see earlier ones only, and of one
            whose frames see all. frames: numbers of frames, the first axis of those arrays.
        seed: of the bootstrap intervals over rooms (95 %).
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.9), layout="constrained")
    lines = (
        (causal, "entropy_last", "causal, last frame", "vermilion", "o-"),
        (causal, "entropy_fourth", "causal, fourth frame", "vermilion", "o--"),
        (plain, "entropy_last", "shipped, last frame", "blue", "s-"),
        (plain, "entropy_fourth", "shipped, fourth frame", "blue", "s--"),
    )
    for arrays, name, label, colour, line in lines:
        rooms = np.exp(arrays[name].mean(-1))  # geometric mean over blocks
        intervals(left, frames, [median_interval(row, seed) for row in rooms], colour, label, fmt=line)
    left.set(xscale="log", yscale="log", xlabel="frames S", ylabel="keys in effect, $e^H$")
    left.set_xticks(frames, [f"{count}" for count in frames])
    left.xaxis.set_minor_locator(NullLocator())
    left.legend()
    for arrays, label, colour in ((causal, "causal", "vermilion"), (plain, "shipped", "blue")):
        eights = arrays["rotation"][:, : frames[-1] // 8 * 8].reshape(len(arrays["rotation"]), -1, 8)
        errors = [median_interval(room, seed) for room in np.median(eights, -1).T]
        intervals(right, 8 * np.arange(len(errors)) + 4.5, errors, colour, label)
    right.set(xlabel=f"place in a walk of {frames[-1]} frames", ylabel="rotation error (°), medians of eight")
    right.set_ylim(bottom=0)
    right.legend()
    return figure


def trainings_apart(
    reports: Mapping[str, Report],
    in_effect: Mapping[str, Mapping[str, np.ndarray]],
    frames: Sequence[int],
    seed: int = 0,
) -> Figure:
    """Left: rotation error on denser walks against frames. Right: how fast keys in effect grow, by block.

    Args:
        reports: label -> record of the weights, at most as many as there are `COLOURS`.
        in_effect: label -> arrays of `designs.measure`. frames: numbers of frames, the first axis of those.
        seed: of the bootstrap intervals over rooms (95 %).
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.9), layout="constrained")
    for place, ((label, report), colour) in enumerate(zip(reports.items(), COLOURS, strict=False)):
        counts = lengths(report, "denser")
        turned = [errors(report, "denser", count, "model", "rotation_deg") for count in counts]
        intervals(left, counts, [median_interval(rooms, seed) for rooms in turned], colour, label)
        powers = growth(in_effect[label]["entropy"], frames)
        blocks = np.arange(powers.shape[1]) + 0.12 * (place - 0.5 * (len(reports) - 1))
        by_block = [median_interval(rooms, seed) for rooms in powers.T]
        intervals(right, blocks, by_block, colour, label, fmt="o")
    left.set_xscale("log", base=2)
    left.set(xlabel="frames S of one stretch of path", ylabel="rotation error (°)", ylim=(0, None))
    left.xaxis.set_major_formatter("{x:g}")
    right.axhline(1, color=PALETTE["black"], lw=0.8, ls=":")
    right.set(xlabel="global block", ylabel="keys in effect, power of S")
    shared_legend(figure, left, "outside upper center")
    return figure


def lost_and_failed(
    lost: Mapping[str, float], failed: Mapping[str, Interval], kinds: Mapping[str, str]
) -> Figure:
    """How many times as many keys a network's best block uses in a long walk, against its ratio of errors.

    Args:
        lost: network -> growth of keys in effect. failed: network -> ratio of errors with its interval.
        kinds: network of `lost` -> its kind, at most as many as there are `COLOURS`.
    """
    figure, ax = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    for kind, colour in zip(dict.fromkeys(kinds.values()), COLOURS, strict=False):
        names = [name for name in lost if kinds[name] == kind]
        intervals(ax, [lost[name] for name in names], [failed[name] for name in names], colour, kind, fmt="o")
    ax.axhline(1, color=PALETTE["black"], lw=0.8, ls=":")
    ax.set(xscale="log", yscale="log", xlim=(0.9, 90))
    ax.set(xlabel="times as many keys in the block that resists most", ylabel="times the error")
    for axis, ticks in ((ax.xaxis, (1, 2, 4, 8, 16, 32, 64)), (ax.yaxis, (0.5, 1, 2, 4, 8))):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_minor_locator(NullLocator())
    ax.legend(loc="upper left")
    return figure

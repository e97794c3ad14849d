"""Rival explanations: errors against frames and paths, what each explanation predicts, profiles of depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from book.study.intervals import Interval, median_interval
from book.study.style import PALETTE, SERIES, intervals

Array = NDArray[np.float64]

ARROWS = {"up": "↑", "down": "↓", "same": "="}


def rooms_against_frames(curves: Mapping[str, tuple[Sequence[int], Array]], limit: float) -> Figure:
    """Rotation error against the number of frames, a line a room with mean and median; one panel a curve.

    Args:
        curves: title -> (frames, errors (lengths, scenes)).
        limit: degrees above which a room has failed, drawn as a line.
    """
    figure, axes = plt.subplots(1, len(curves), figsize=(9.8, 3.2), sharey=True, squeeze=False)
    ticks = sorted({f for frames, _ in curves.values() for f in frames})
    for ax, (title, (frames, errors)) in zip(axes[0], curves.items(), strict=True):
        ax.plot(frames, errors, color=PALETTE["grey"], lw=0.8, alpha=0.8)
        ax.plot(frames, errors.mean(1), "o-", color=PALETTE["vermilion"], lw=2, ms=4, label="mean")
        ax.plot(frames, np.median(errors, 1), "--", color=PALETTE["black"], lw=1.4, label="median")
        ax.axhline(limit, color=PALETTE["black"], ls=":", lw=1)
        ax.set(xscale="log", yscale="log", xlabel="frames S")
        ax.set_title(title.replace(", ", ",\n"), fontsize=9.5)
        ax.set_xticks(ticks, [str(t) for t in ticks])
        ax.set_yticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_minor_locator(NullLocator())
    axes[0, 0].set_ylabel("rotation error (°)")
    axes[0, 0].legend(fontsize=8.5)
    return figure


def rivals_chart(
    experiments: Mapping[str, str],
    found: Mapping[str, Interval],
    words: Mapping[str, str],
    predictions: Mapping[str, Sequence[str | None]],
    noticeable: float,
) -> Figure:
    """Left: the ratio of errors that each experiment measured. Right: what each explanation had predicted.

    experiments: id -> label. found, words: id -> ratio with interval, and its word. predictions: explanation
    -> words in the order of the experiments. noticeable: half width of the grey band, as a ratio.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.4, 6.2), width_ratios=(0.7, 1.6), sharey=True)
    rows = np.arange(len(experiments))
    left.axvspan(1 / noticeable, noticeable, color=PALETTE["grey"], alpha=0.15, lw=0)
    left.axvline(1, color=PALETTE["grey"], lw=0.8)
    for row, name in zip(rows, experiments, strict=True):
        intervals(left, [row], [found[name]], "black", across=True, fmt="o", ms=5)
    left.set(xscale="log", xlabel="ratio of rotation errors", yticks=rows)
    left.set_yticklabels([_two_lines(label) for label in experiments.values()], fontsize=9)
    left.set_xticks([0.25, 0.5, 1, 2, 4, 8, 16], ["¼", "½", "1", "2", "4", "8", "16"])
    left.xaxis.set_minor_locator(NullLocator())
    left.invert_yaxis()
    _predictions(right, experiments, words, predictions)
    return figure


def _predictions(
    ax: Axes,
    experiments: Mapping[str, str],
    words: Mapping[str, str],
    predictions: Mapping[str, Sequence[str | None]],
) -> None:
    for column, said in enumerate(predictions.values()):
        for row, (name, expected) in enumerate(zip(experiments, said, strict=True)):
            if expected is None:
                continue
            measured = words[name]
            colour = "grey" if measured == "not clear" else "green" if measured == expected else "vermilion"
            mark = {"green": "✓", "vermilion": "✗", "grey": " "}[colour]
            ax.text(
                column, row, f"{ARROWS[expected]} {mark}", color=PALETTE[colour], ha="center", va="center"
            )
    ax.set(xlim=(-0.5, len(predictions) - 0.5), xticks=range(len(predictions)))
    ax.set_xticklabels([fill(name, 11) for name in predictions], fontsize=9)
    ax.xaxis.tick_top()
    ax.grid(False, axis="x")
    ax.tick_params(length=0)


def _two_lines(text: str) -> str:
    words = text.split()
    half = (len(words) + 1) // 2
    return " ".join(words[:half]) + "\n" + " ".join(words[half:])


def errors_of_frames(frames: Mapping[str, Array]) -> Figure:
    """Each frame of longer walks: its rotation error against its place, distance and overlap with frame 0.

    frames: name -> (scenes, S), with "rotation", "distance" and "overlap"; frame 0 is left out.
    """
    figure, axes = plt.subplots(1, 3, figsize=(9.2, 3.1), sharey=True)
    error = frames["rotation"][:, 1:]
    place = np.broadcast_to(np.arange(1, error.shape[1] + 1), error.shape)
    for ax, values, label in (
        (axes[0], place, "place in the walk"),
        (axes[1], frames["distance"][:, 1:], "distance from frame 0 (m)"),
        (axes[2], frames["overlap"][:, 1:], "overlap with frame 0"),
    ):
        ax.plot(values.ravel(), error.ravel(), ".", ms=3, alpha=0.5, color=PALETTE["blue"])
        ax.set(xlabel=label, yscale="log", ylim=(0.3, 200))
    axes[0].set_ylabel("rotation error (°)")
    axes[0].set_yticks([1, 10, 100], ["1", "10", "100"])
    return figure


def depth_profiles(panels: Mapping[str, Mapping[int, Array]], label: str, seed: int = 0) -> Figure:
    """One quantity against the global block: panel -> frames -> (scenes, layers); medians with intervals."""
    figure, axes = plt.subplots(1, len(panels), figsize=(8.4, 3.2), sharey=True, squeeze=False)
    for ax, (name, runs) in zip(axes[0], panels.items(), strict=True):
        for place, (frames, values) in enumerate(runs.items()):
            found = [median_interval(column, seed) for column in values.T]
            layers, colour = np.arange(len(found)), PALETTE[SERIES[place]]
            ax.plot(layers, [f.median for f in found], "o-", ms=4, color=colour, label=f"{frames} frames")
            ax.fill_between(
                layers, [f.low for f in found], [f.high for f in found], color=colour, alpha=0.15, lw=0
            )
        ax.set(title=name, xlabel="global block ℓ")
        ax.legend()
    axes[0, 0].set_ylabel(label)
    return figure


def rescaled_curves(curves: Mapping[float, tuple[float, Array]], label: str) -> Figure:
    """Curves of depth against ℓ and against ℓ/d: m -> (d, (layers,) medians over scenes)."""
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.2), sharey=True)
    for place, (m, (d, values)) in enumerate(curves.items()):
        layers = np.arange(len(values))
        for ax, at in zip(axes, (layers, layers / d), strict=True):
            ax.plot(at, values, "o-", ms=4, color=PALETTE[SERIES[place]], label=f"m = {m:g}, d = {d:.2f}")
    axes[0].set(xlabel="global block ℓ", ylabel=label)
    axes[1].set(xlabel="ℓ / d")
    axes[0].legend()
    return figure

"""Errors at lengths that a CPU cannot follow, and what `declared.yml` said of them before a card had run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from book.study import hypothesis
from book.study.shipped import trained_frames
from book.study.style import PALETTE, shared_legend
from lib import records

DECLARED = Path(__file__).with_name("declared.yml")
ERROR = "rotation_from_frame_0"
ARMS = {
    "plain": ("black", "o"),
    "merged": ("vermilion", "s"),
    "scaled": ("blue", "^"),
    "both": ("green", "D"),
}
COLUMNS = 3


@dataclass(frozen=True, order=True)
class Case:
    """One way of running one network at one length."""

    network: str
    arm: str
    frames: int

    @classmethod
    def of(cls, words: str) -> Case:
        """From "mini plain 2048"."""
        network, arm, frames = words.split()
        return cls(network, arm, int(frames))


Errors = dict[Case, dict[int, float]]  # degrees by room


def errors(found: Sequence[records.Record]) -> Errors:
    """Rotation errors by room of every case, from the records of job "lengths"."""
    together: Errors = {}
    for record in (one for one in found if "refused" not in one.measurements):
        rooms = range(*record.params["rooms"])
        for key in record.measurements:
            where, _, name = key.partition(": ")
            if name != ERROR:
                continue
            network, _, arm = where.partition(", ")
            case = together.setdefault(Case(network, arm, record.params["frames"]), {})
            case |= {room: v for room, v in zip(rooms, record[key], strict=True) if v is not None}
    return together


def pair(found: Errors, quantity: str) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Errors of both sides of "A / B" in the rooms that both have; None without such rooms."""
    above, below = (found.get(Case.of(words), {}) for words in quantity.split(" / "))
    rooms = sorted(above.keys() & below.keys())
    if not rooms:
        return None
    return np.array([above[room] for room in rooms]), np.array([below[room] for room in rooms])


def ratios(found: Errors) -> dict[str, float]:
    """Every declared quantity that can be had: the ratio of mean errors over common rooms."""
    sides = {one.quantity: pair(found, one.quantity) for one in hypothesis.read(DECLARED)}
    return {name: float(both[0].mean() / both[1].mean()) for name, both in sides.items() if both is not None}


def outcomes(found: Errors) -> pd.DataFrame:
    """What was declared and what came out."""
    return hypothesis.outcomes(ratios(found), hypothesis.read(DECLARED))


def mean(found: Errors, words: str) -> float:
    """Mean error over the rooms of a case, such as "mini plain 2048", degrees."""
    return float(np.mean(list(found[Case.of(words)].values())))


def lines(found: Errors, networks: Mapping[str, str]) -> Figure:
    """A panel a network, a line an arm: mean errors. Dots: rooms; dotted: most frames in training.

    networks: name -> title of its panel.
    """
    rows = -(-(len(networks) + 1) // COLUMNS)  # the last place is the legend's
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(8.6, 2.5 * rows), sharex=True, sharey=True)
    lengths = sorted({case.frames for case in found})
    for ax, network in zip(axes.flat, networks, strict=False):
        for arm, (colour, marker) in ARMS.items():
            cases = [case for case in sorted(found) if (case.network, case.arm) == (network, arm)]
            for case in cases:
                errors_ = list(found[case].values())
                ax.plot([case.frames] * len(errors_), errors_, ".", ms=3, color=PALETTE[colour], alpha=0.35)
            means = [np.mean(list(found[case].values())) for case in cases]
            ax.plot([c.frames for c in cases], means, color=PALETTE[colour], marker=marker, ms=4, label=arm)
        ax.axvline(trained_frames(network, 0), color=PALETTE["grey"], lw=1, ls=":")
        ax.set_title(networks[network], loc="left")
        ax.set(xscale="log", yscale="log")
        ax.set_xticks(lengths, [f"{n:,}" for n in lengths], rotation=90, fontsize=8)
        ax.set_yticks([2, 5, 10, 20, 50], ["2", "5", "10", "20", "50"])
        ax.minorticks_off()
    for ax in axes.flat[len(networks) :]:
        ax.set_visible(False)
    for ax in axes.flat[
        max(0, len(networks) - COLUMNS) : len(networks)
    ]:  # the lowest that is seen of each column
        ax.tick_params(labelbottom=True)
    figure.supxlabel("frames of the same stretch", fontsize=10)
    figure.supylabel("rotation error, °", fontsize=10)
    shared_legend(figure, axes.flat[0], "outside upper center")
    return figure

"""Pictures of attention spectra: what each measure sees, how a bracket closes, how accurate it is."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from book.study.intervals import Interval
from book.study.style import PALETTE, SERIES, intervals


def spectra_and_measures(
    spectra: Mapping[str, np.ndarray], measures: Mapping[str, Mapping[str, float]]
) -> Figure:
    """Left: singular values of each head on log axes. Right: each measure of each head, on a scale from 0
    to 1.

    Args:
        spectra: head -> singular values, descending.
        measures: measure -> head -> value in [0, 1].
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.9), width_ratios=(1, 1.25))
    for colour, (head, values) in zip(SERIES, spectra.items(), strict=False):
        shown = values[values > 1e-9 * values[0]]
        left.loglog(np.arange(1, len(shown) + 1), shown / values[0], color=PALETTE[colour], label=head)
    left.set(xlabel="index i", ylabel="σᵢ / σ₁", ylim=(1e-5, 2))
    left.legend(loc="lower left")
    rows = np.arange(len(measures))[::-1]
    for shift, (colour, head) in enumerate(zip(SERIES, spectra, strict=False)):
        scores = [by_head[head] for by_head in measures.values()]
        height = rows + 0.12 * (shift - (len(spectra) - 1) / 2)
        right.plot(scores, height, "o", color=PALETTE[colour], ms=6, label=head)
    right.set_yticks(rows, list(measures))
    right.set(xlim=(-0.03, 1.03), xlabel="0 = concentrated in one …  1 = spread over all")
    right.grid(axis="y", visible=False)
    for row in rows[:-1]:
        right.axhline(row - 0.5, color=PALETTE["grey"], lw=0.5)
    return figure


def bracket_by_passes(
    passes: Sequence[int], brackets: Sequence[Any], truth: float, chosen: str = "peaked"
) -> Figure:
    """How the bracket of one head closes with the number of attention passes.

    Args:
        passes: attention calls spent for each bracket.
        brackets: lib.spectra.Bracket.
        truth: entropy by dense SVD, nats.
    """
    figure, ax = plt.subplots(figsize=(7.2, 3.4))
    columns = {
        k: np.array([getattr(b, k) for b in brackets]) for k in ("lower", "upper", "entropy", "ritz", "gauss")
    }
    ax.fill_between(
        passes, columns["lower"], columns["upper"], color=PALETTE["sky"], alpha=0.35, lw=0, label="bracket"
    )
    ax.plot(passes, columns["entropy"], color=PALETTE["blue"], marker="o", ms=4, label="estimate")
    ax.plot(passes, columns["gauss"], color=PALETTE["orange"], lw=1, ls="--", label="Gauss")
    ax.plot(passes, columns["ritz"], color=PALETTE["grey"], lw=1, ls="--", label="Ritz values alone")
    ax.axhline(truth, color=PALETTE["black"], lw=1, label="dense SVD")
    ax.set(xlabel="attention passes", ylabel="H (nats)", title=f"{chosen} head")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(ncols=2)
    return figure


def accuracy(records: Sequence[Any]) -> Figure:
    """Error and bracket of every benchmark case against dense SVD, one panel a size, one colour a family."""
    figure, axes = plt.subplots(1, len(records), figsize=(2.1 * len(records) + 0.8, 3.3), squeeze=False)
    for ax, record in zip(axes[0], records, strict=True):
        kinds = list(dict.fromkeys(record["kind"]))
        for place, (colour, kind) in enumerate(zip(SERIES, kinds, strict=False)):
            rows = [i for i, k in enumerate(record["kind"]) if k == kind]
            found = [Interval(*(record[n][i] for n in ("error", "lower", "upper"))) for i in rows]
            x = place + np.linspace(-0.3, 0.3, len(rows)) if len(rows) > 1 else np.array([place])
            intervals(ax, x, found, colour, fmt="o", ms=2.5, lw=1, capsize=0)
        ax.axhline(0, color=PALETTE["black"], lw=0.8)
        ax.set_xticks(range(len(kinds)), kinds, rotation=45, fontsize=8)
        ax.set_title(f"N = {record.params['tokens']:,}")
    axes[0, 0].set_ylabel("H − dense H (nats)")
    return figure

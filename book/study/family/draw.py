"""The networks in a table, and which finding holds for which: a panel a statement, a dot a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from book.study.family.rule import kind
from book.study.family.statements import Statement
from book.study.intervals import median_interval
from book.study.shipped import Report, errors
from book.study.style import PALETTE, intervals

SHOWN = (8, 32, 128)  # frames of the table of networks
TICKS = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)  # of ratios
COLOURS = ("vermilion", "blue", "green", "purple", "orange", "sky", "black")  # of kinds of networks
FIRST, FURTHER = ({"fmt": "o"}, {"fmt": "D", "mfc": "none"})  # trainings of a kind


def portraits(
    reports: Mapping[str, Report],
    beside: Mapping[str, Mapping[str, NDArray[np.float64]]] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """What each network was trained on, for how long, and its median rotation error on denser walks.

    Args:
        reports: label -> record of the weights.
        beside: further columns: heading -> label -> rotation errors, degrees; empty for who is not in it.
        seed: of the bootstrap intervals over rooms (95 %).
    """
    rows = {}
    for label, report in reports.items():
        rotation = {S: errors(report, "denser", S, "model", "rotation_deg") for S in SHOWN}
        rows[label] = {
            "thousand sequences, images": f"{report['sequences_with_parents'] / 1000:.0f}, "
            f"{report['frames'] / 1000:.0f}",
            "min": f"{report['seconds'] / 60:.0f}",
        } | {f"{S} frames": _short(values, seed) for S, values in rotation.items()}
        for heading, found in (beside or {}).items():
            rows[label][heading] = _short(found[label], seed) if label in found else "–"
    return pd.DataFrame(rows).T.rename_axis("trained")


def _short(values: NDArray[np.float64], seed: int) -> str:
    """The median of errors with its interval, in two digits, so that many fit beside one another."""
    found = median_interval(values, seed)
    return f"{found.median:.2g} ({found.low:.2g} … {found.high:.2g})"


def table(statements: Sequence[Statement], networks: Mapping[str, str]) -> pd.DataFrame:
    """The word of each network for each statement; `networks`: name -> label of its column."""
    rows = [
        {"": one.says} | {label: one.word(name) for name, label in networks.items()} for one in statements
    ]
    return pd.DataFrame(rows).set_index("")


def looks(kinds: Mapping[str, str]) -> dict[str, tuple[str, Mapping[str, str]]]:
    """Colour and marker of each network: a colour for a kind, filled for its first training, open for others.

    kinds: network -> its kind, in the order of the figure.
    """
    colours = dict(zip(dict.fromkeys(kinds.values()), cycle(COLOURS), strict=False))
    firsts = {kind: name for name, kind in reversed([*kinds.items()])}
    return {name: (colours[kind], FIRST if name == firsts[kind] else FURTHER) for name, kind in kinds.items()}


def strips(
    statements: Sequence[Statement], networks: Mapping[str, str], kinds: Mapping[str, str] | None = None
) -> Figure:
    """One panel a statement: medians of the networks with their intervals, and the neutral value dotted.

    networks: name -> label. kinds: name -> kind, for `looks`; None asks the records of the weights.
    """
    look = looks({name: kind(name) for name in networks} if kinds is None else kinds)
    columns = min(3, len(statements))
    rows = -(-len(statements) // columns)
    layout = ConstrainedLayoutEngine(w_pad=0.12)
    beside = 3 if columns == 3 else 2  # names in a line of the legend
    lines = -(-len(networks) // beside)
    size = (3.07 * max(columns, 2), 0.25 + 0.2 * lines + (0.6 + 0.13 * len(networks)) * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout=layout, squeeze=False)
    for ax, one in zip(axes.flat, statements, strict=False):
        for place, (name, label) in enumerate(networks.items()):
            if name in one.found:
                colour, mark = look[name]
                intervals(ax, [-place], [one.found[name]], colour, label, across=True, **mark)
        ax.axvline(one.neutral, color=PALETTE["black"], lw=0.8, ls=":")
        ax.set(yticks=[], ylim=(-len(networks) + 0.4, 0.6), xlabel=one.number)
        ax.set_title(one.says, fontsize=10, loc="left")
        if one.log:
            ends = ax.get_xlim()
            ax.set_xscale("log")
            ticks = [tick for tick in TICKS if ends[0] <= tick <= ends[1]]
            # More than five would stand in one another's way in a panel this narrow.
            ax.set_xticks([tick for tick in ticks if len(ticks) <= 5 or tick in TICKS[::2]])
            ax.xaxis.set_major_formatter("{x:g}")
            ax.xaxis.set_minor_locator(NullLocator())
    for ax in axes.flat[len(statements) :]:
        ax.set_visible(False)
    shown = [ax.get_legend_handles_labels() for ax in axes.flat]
    handles = {label: handle for pair in shown for handle, label in zip(*pair, strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=beside)
    return figure

"""Figures and the table of chapter "Predictions, written down first", from the arrays of its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from book.study.hypothesis import Hypothesis
from book.study.intervals import median_interval
from book.study.numbers import number
from book.study.predictions.blocks import RADII, sign_cases
from book.study.predictions.declared import PREDICTIONS
from book.study.predictions.merging import FITTED, STRENGTHS, delays, rank, reached
from book.study.predictions.profiles import Undefined
from book.study.style import PALETTE, intervals
from lib.records import Record

Arrays = Mapping[str, NDArray[np.float64]]
MARKS = {"as predicted": "✓", "refuted": "✗"}
SQUARES: dict[str, dict[str, Any]] = {  # how an outcome is drawn
    "as predicted": {"color": PALETTE["blue"]},
    "as predicted, not clearly": {"mfc": "#A6CBE3", "mec": PALETTE["blue"]},
    "refuted": {"color": "#9C3D00"},
    "refuted, not clearly": {"mfc": "#F2C4A2", "mec": "#9C3D00"},
}
NAMES = {  # what a quantity is called in the tables, where its own name says too little
    "profile_shift": "largest shift of ln spread, four times as many tokens",
    "copies_change": "change by repeated keys",
    "slope_keys": "order in the radius, keys merged",
    "slope_queries": "order in the radius, queries merged too",
    "sign_right": "share of signs right",
    "delay_exponent": "exponent of d in the delay",
    "saturated_difference": "difference between m = 0.7 and m = 0.9",
    "rank_turns": "rise of the rank inside the range of m",
    "spread_turns": "rise of the spread inside the range of m",
    "dynamic_share_biased": "dynamic share of the change of rank, size bias",
    "static_share_plain": "static share of the change of rank, no size bias",
    "token_against_frame": "fall of the token part over that of the frame part, ln",
    "repeats_over_new": "change by repeated frames over that by new ones",
    "new_frames_effect": "change of ln frame part by new frames",
    "moved_rank_correlation": "rank correlation over heads, law and measured",
    "random_odds_factor": "growth of the odds at initialisation",
    "late_slope": "slope of ln spread, late in depth",
    "static_over_fitted": "error of the static part over that of the fitted law",
    "first_change_sign": "share of signs of the first change right",
    "first_change_correlation": "correlation of first changes",
    "first_change_slope": "slope of first changes, measured on predicted",
    "summed_change_sign": "share of signs right, changes summed over depth",
    "sink_error": "largest error of the share of frame 0",
    "sink_restored": "share of frame 0, weighted run against short one",
    "sink_strongest": "largest share of frame 0 in 8 frames",
    "sink_merged_plain": "error of the share of frame 0, merged",
    "sink_merged_biased": "error of the share of frame 0, merged with size bias",
    "odds_global_uniform": "correlation of Δ ln odds, global blocks",
    "odds_frame_uniform": "correlation of Δ ln odds, frame blocks",
    "odds_law_sign": "share of signs of Δ ln odds right",
    "odds_law_error": "error of Δ ln odds over that of V = I",
    "late_slope_law": "error of the late slope",
    "late_slope_uniform": "error of the late slope, uniform attention",
    "null_weak": "rank over random tokens, m = 0.2",
    "null_turn": "blocks above random tokens, m = 0.2 minus saturation",
    "null_in_sink": "rank over random tokens, block of the sink",
    "dynamic_against_static": "dynamic over static part, size bias",
    "entry_error": "error of the change of ln frame part",
    "initial_correlation": "correlation of Δ ln odds at initialisation",
    "turn_ratio": "rotation error, weighted over plain",
}
RUNS = {
    "few": ("every fourth frame", "green", "o-"),
    "copies": ("those, four times each", "blue", "s--"),
    "all": ("all frames", "vermilion", "^-"),
}


def clear(prediction: Hypothesis, record: Record) -> bool:
    """Whether both ends of the bootstrap interval have the same outcome as the value."""
    value, ends = record[prediction.quantity], record[f"{prediction.quantity}.interval"]
    return ends is None or {prediction.judge(v) for v in (value, *ends)} == {prediction.judge(value)}


def cell(prediction: Hypothesis, record: Record) -> str:
    """Value, mark of its outcome and, on a second line, the interval over scenes."""
    value, ends = record[prediction.quantity], record[f"{prediction.quantity}.interval"]
    if value is None:
        return "not decided"
    mark = MARKS[prediction.judge(value)] + ("" if clear(prediction, record) else "?")
    if ends is None:
        return f"{mark}\u00a0{number(value, 2)}"
    low, high = (number(end, 2) for end in ends)
    return f"{mark}\u00a0{number(value, 2)}<br><small>{low} …\u00a0{high}</small>"


def interval(prediction: Hypothesis) -> str:
    """The predicted interval in words, numbers as in the rest of the page."""
    ends = (prediction.above, prediction.below, prediction.exactly)
    words = {f"{end:g}": number(end, 2) for end in ends}
    return " ".join(words.get(word, word) for word in prediction.interval.split())


def outcomes(
    columns: Mapping[str, Mapping[str, Record]], predictions: Sequence[Hypothesis] = PREDICTIONS
) -> pd.io.formats.style.Styler:
    """One row a prediction; columns: heading -> run -> record. Refuted ones are as loud as can be."""
    rows = [
        {"": p.id, "quantity": NAMES.get(p.quantity, p.quantity.replace("_", " ")), "predicted": interval(p)}
        | {heading: cell(p, runs[p.run]) if p.run in runs else "" for heading, runs in columns.items()}
        for p in predictions
    ]

    def loud(text: str) -> str:
        if text.startswith(MARKS["refuted"]):
            return "color: white; background-color: #9C3D00; font-weight: bold"  # 7 : 1 in contrast
        return "font-style: italic" if text == "not decided" else ""

    return pd.DataFrame(rows).style.map(loud, subset=list(columns)).hide(axis="index")


def scoreboard(
    columns: Mapping[str, Mapping[str, Record]], predictions: Sequence[Hypothesis] = PREDICTIONS
) -> Figure:
    """One square for each prediction (across) and heading (down): blue is kept, red refuted, pale not clear.

    columns: heading -> run -> record, as in `outcomes`. No square: the run that decides it is not here.
    A dot: this run could not define the quantity.
    """
    figure, ax = plt.subplots(figsize=(10.5, 1.0 + 0.33 * len(columns)))
    for row, runs in enumerate(columns.values()):
        for place, one in enumerate(predictions):
            if one.run in runs:
                _square(ax, place, row, one, runs[one.run])
    names = [one.id for one in predictions]
    ax.set(xlim=(-0.6, len(names) - 0.4), ylim=(len(columns) - 0.4, -0.6), aspect="equal")
    ax.set_xticks(range(len(names)), names, rotation=90, fontsize=9)
    ax.set_yticks(range(len(columns)), list(columns))
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    for label, style in SQUARES.items():
        ax.plot([], [], "s", ms=11, label=label, **style)
    figure.legend(loc="outside upper center", ncols=len(SQUARES))
    return figure


def _square(ax: Axes, place: int, row: int, prediction: Hypothesis, record: Record) -> None:
    word = prediction.judge(record[prediction.quantity])
    if word == "not decided":
        ax.plot(place, row, ".", color=PALETTE["grey"])
        return
    sure = clear(prediction, record)
    ax.plot(place, row, "s", ms=13, **SQUARES[word + ("" if sure else ", not clearly")])
    ax.text(
        place, row, MARKS[word], ha="center", va="center", color="white" if sure else "#000000", fontsize=9
    )


def what_held(arrays: Arrays) -> Figure:
    """Profiles for few and many tokens (P1), errors of merged blocks (P3), dilution of heads (P10)."""
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.4))
    for which, (label, colour, line) in RUNS.items():
        spread = 1 - arrays[f"{which}.common"].mean(0)
        axes[0].plot(range(1, len(spread) + 1), spread, line, color=PALETTE[colour], label=label, ms=4)
    axes[0].set(xlabel="global block", ylabel="spread 1 − R² entering", ylim=(0, 1), title="P1")
    axes[0].legend(fontsize=8)
    errors = arrays["blocks.errors"]
    for kind, (label, colour) in enumerate((("keys and values", "blue"), ("queries too", "vermilion"))):
        per_block = np.exp(np.log(errors[:, :, kind]).mean(0))
        axes[1].loglog(RADII, per_block.T, "-", color=PALETTE[colour], lw=0.8)
        axes[1].loglog([], [], "-", color=PALETTE[colour], label=label)
    axes[1].set(xlabel="radius of groups / real radius", ylabel="relative error of a block", title="P3")
    axes[1].legend(fontsize=8)
    law, moved = arrays["all.diluted"].mean(0), 1 - arrays["all.self_mass"].mean(0)
    axes[2].plot(law.ravel(), moved.ravel(), "o", ms=4, color=PALETTE["blue"])
    ends = [min(law.min(), moved.min()), 1]
    axes[2].plot(ends, ends, color=PALETTE["grey"], lw=1)
    axes[2].set(xlabel="law: N/(N + N* − 1)", ylabel="measured: 1 − μ", title="P10")
    axes[2].locator_params(nbins=5)
    return figure


def signs(arrays: Arrays) -> Figure:
    """P4: |M_w|² − |M|² against the change of the spread after the attention branch."""
    length, change = sign_cases(dict(arrays))
    figure, ax = plt.subplots(figsize=(5.6, 3.8))
    right = (change < 0) == (length > 0)
    for use, colour, mark, label in ((right, "blue", "o", "right"), (~right, "vermilion", "x", "wrong")):
        ax.plot(length[use], change[use], mark, ms=4, color=PALETTE[colour], label=f"{label}: {use.sum()}")
    wide, tall = (1.1 * np.abs(v).max() for v in (length, change))
    for side in (-1, 1):
        ax.fill_between([0, side * wide], 0, -side * tall, color=PALETTE["green"], alpha=0.1, lw=0)
    ax.set(
        xlabel="$|M_w|^2 - |M|^2$",
        ylabel="change of the spread by merging",
        xlim=(-wide, wide),
        ylim=(-tall, tall),
    )
    ax.legend()
    return figure


def against_strength(arrays: Arrays) -> Figure:
    """Effective rank (P6b, P13), spread entering the last block (P6c) and depth of half the fall (P5)."""
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.5))
    use = reached(dict(arrays))
    m = np.array([0.0, *np.array(STRENGTHS)[use]])
    merged, static = (
        np.column_stack([rank(dict(arrays), "plain"), rank(dict(arrays), name)[:, use]])
        for name in ("merged", "static")
    )
    _band(axes[0], m, merged, "blue", "o-", "merged runs")
    axes[0].plot(m, static.mean(0), "s--", ms=4, color=PALETTE["vermilion"], label="static part alone")
    known = m <= FITTED
    slope, start = np.polyfit(m[known], np.log(merged.mean(0)[known]), 1)
    axes[0].plot(
        m, np.exp(start + slope * m), color=PALETTE["grey"], lw=1.2, label="ln r = a + b m, fitted to m ≤ 0.5"
    )
    axes[0].set(xlabel="m asked for", ylabel="effective rank (mean)", title="P6b, P13")
    axes[0].set_ylim(0, None)
    axes[0].legend(fontsize=8)
    spread = 1 - np.column_stack([arrays["few.common"][:, -1], arrays["sweep.common"][:, use, -1]])
    _band(axes[1], m, spread, "blue", "o-", "spread")
    axes[1].set(xlabel="m asked for", ylabel="spread entering the last block", ylim=(0, None), title="P6c")
    _delays(axes[2], arrays)
    return figure


def _band(
    ax: plt.Axes, x: NDArray[np.float64], values: NDArray[np.float64], colour: str, line: str, label: str
) -> None:
    """Mean over scenes; band: smallest and largest scene."""
    ax.plot(x, values.mean(0), line, ms=4, color=PALETTE[colour], label=label)
    ax.fill_between(x, values.min(0), values.max(0), color=PALETTE[colour], alpha=0.15, lw=0)


def _delays(ax: plt.Axes, arrays: Arrays) -> None:
    ax.set(xlabel="ln d, d = 1/kept", ylabel="ln(τ′/τ)", title="P5")
    try:
        x, merged, plain = delays(dict(arrays))
    except Undefined as why:
        ax.text(0.5, 0.5, str(why), transform=ax.transAxes, ha="center", wrap=True, fontsize=8)
        return
    ends = np.array([0, x.max()])
    ax.plot(ends, ends, color=PALETTE["grey"], label="Eq. (10): τ′ = d τ")
    ax.plot(ends, ends / 2, color=PALETTE["grey"], ls=":", label="limit of the prediction")
    ax.plot(x, np.log(merged / plain), "o", ms=4, color=PALETTE["blue"], label="measured")
    ax.legend(fontsize=8)


def repeats(arrays: Arrays, duplicates: Arrays, counts: tuple[int, ...]) -> Figure:
    """P9: change of ln frame part by block, for copies and for new frames; and the error of the cameras."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5))
    for which in ("copies", "all"):
        label, colour, line = RUNS[which]
        change = np.log(arrays[f"{which}.frame"] / arrays["few.frame"])
        block = np.arange(1, change.shape[1] + 1) + (0.08 if which == "all" else -0.08)
        axes[0].plot(block, change.mean(0), line, color=PALETTE[colour], ms=5, label=label)
        axes[0].plot(block, change.T, ".", ms=3, color=PALETTE[colour], alpha=0.5)
    axes[0].axhline(0, color=PALETTE["black"], lw=0.8)
    axes[0].set(xlabel="global block", ylabel="change of ln(frame part)")
    axes[0].legend(fontsize=8)
    for arm, label in enumerate(("copies", "new frames")):
        _, colour, line = RUNS[("copies", "all")[arm]]
        found = [median_interval(duplicates["rotation"][:, arm, c, 0], 0) for c in range(len(counts))]
        place = np.arange(len(counts)) + (0.05 if arm else -0.05)
        intervals(axes[1], place, found, colour, label, fmt=line, ms=5)
    axes[1].set(xticks=range(len(counts)), xticklabels=[f"× {c}" for c in counts], ylim=(0, None))
    axes[1].set(xlabel="frames, against the short sequence", ylabel="rotation error, degrees")
    axes[1].legend(fontsize=8)
    return figure

"""Figure and table of the law for Table 1, from the arrays of its records."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from book.study.predictions.thinning import LAWS, NUMBERS, RIVALS, STRENGTHS, curves, mean_error
from book.study.style import PALETTE
from lib.records import Record

TITLES = {
    LAWS[0]: "law: tokens that stay",
    LAWS[1]: "law: their count",
    "constant": "unmerged value",
    "paper": "paper's law, fitted",
    "neighbours": "between neighbours",
}
LABELS = ("effective rank", "H / ln N′")


def against_share(records: Mapping[str, Record]) -> Figure:
    """Rank and normalised entropy against the share of tokens merged: measured, the laws, two rivals."""
    figure, axes = plt.subplots(
        2, len(records), figsize=(10.5, 5.6), sharex=True, sharey="row", squeeze=False
    )
    for column, (heading, record) in enumerate(records.items()):
        for rule, colour in zip(STRENGTHS, ("vermilion", "blue"), strict=True):
            found = curves(record.arrays, rule)
            share = found.share.mean(0)
            for row, ax in enumerate(axes[:, column]):
                value = lambda values, row=row: values[..., row].mean(0)  # noqa: E731
                ax.plot(
                    share, value(found.guesses[LAWS[0]]), "-", color=PALETTE[colour], label=f"law, {rule}"
                )
                ax.plot(share, value(found.guesses[LAWS[1]]), ":", color=PALETTE[colour], lw=1)
                ax.plot(
                    share, value(found.truth), "o", color=PALETTE[colour], ms=5, label=f"measured, {rule}"
                )
                for rival, mark in (("paper", "+"), ("neighbours", "x")):
                    guess = value(found.guesses[rival])[1:]
                    ax.plot(share[1:], guess, mark, color=PALETTE[colour], ms=7, label=f"{rival}, {rule}")
        axes[0, column].set_title(heading)
        axes[1, column].set_xlabel("share of tokens merged")
    for ax, label in zip(axes[:, 0], LABELS, strict=True):
        ax.set_ylabel(label)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), ncols=4, loc="outside lower center", fontsize=8)
    return figure


def error_table(records: Mapping[str, Record], number: str) -> pd.io.formats.style.Styler:
    """Mean relative errors (%) of every guess; the smallest of a row is bold."""
    rows = {
        (heading, rule): {t: 100 * mean_error(record.arrays, rule, g, number) for g, t in TITLES.items()}
        for heading, record in records.items()
        for rule in STRENGTHS
    }
    table = pd.DataFrame(rows).T
    bold = table.style.highlight_min(axis=1, props="font-weight: bold")
    return bold.format("{:.1f}").set_caption(f"{number.replace('_', ' ')}: mean relative error (%)")


def won(records: Mapping[str, Record], rule: str, number: str, law: str = LAWS[0]) -> dict[str, list[bool]]:
    """Rival -> whether the law errs less, one a record."""
    assert number in NUMBERS
    return {
        rival: [
            mean_error(r.arrays, rule, law, number) < mean_error(r.arrays, rule, rival, number)
            for r in records.values()
        ]
        for rival in RIVALS
    }


def signed(record: Record, rule: str) -> float:
    """Mean over scenes and m of law over truth, minus one, of the effective rank."""
    found = curves(record.arrays, rule)
    return float(np.mean(found.guesses[LAWS[0]][:, 1:, 0] / found.truth[:, 1:, 0] - 1))


def by_block(record: Record, rule: str, m: float) -> NDArray[np.float64]:
    """(blocks,) law over truth, minus one, of the effective rank of a matrix; mean over scenes and heads."""
    place = STRENGTHS[rule].index(m) + (0 if rule == "released" else len(STRENGTHS["released"]))
    law, truth = (np.exp(record.arrays[name][:, place, ..., 0]) for name in ("law", "merged"))
    return np.asarray((law / truth - 1).mean((0, 2)))

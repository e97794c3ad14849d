"""Cameras and geometry against m: errors, paired changes, and errors beside entropies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from book.study.numbers import minus
from book.study.paired import PLAIN, Comparison, compare, errors_of
from book.study.style import PALETTE, SERIES, shared_legend
from lib.records import Record

ERRORS = {
    "rotation_from_frame_0": "rotation from\nframe 0 (°)",
    "centres_relative": "motion left\nunexplained",
    "are_deg_centres": "ARE (°)",
    "are_deg_fastvggt": "ARE, FastVGGT (°)",
    "rpe_trans_centres": "RPE-trans (m)",
    "rpe_trans_fastvggt": "RPE-trans,\nFastVGGT (m)",
    "rpe_rot_deg_centres": "RPE-rot (°)",
    "rpe_rot_deg_fastvggt": "RPE-rot,\nFastVGGT (°)",
    "ate_centres": "ATE (m)",
    "ate_fastvggt": "ATE, FastVGGT (m)",
    "chamfer_depth_textbook": "Chamfer (m)",
    "chamfer_depth_fastvggt": "Chamfer,\nFastVGGT (m)",
    "abs_rel": "AbsRel of depth",
}
FIGURE_2 = tuple(ERRORS)[2:]  # the errors that the paper's figure reports, and AbsRel
ROBUST = tuple(ERRORS)[:2]
LIMIT = 100.0  # per cent: colours of the table saturate there
BASELINES = (1, 2, 5, 10, 20, 50, 100)  # ticks of logarithmic axes


def strength(setting: str) -> float:
    """m of a setting's name; 0 for "plain".

    >>> strength("uniform 0.97 unprotected")
    0.97
    """
    words = setting.split()
    return float(words[1]) if len(words) > 1 else 0.0


def rooms_against_m(records: Mapping[str, Record], errors: Sequence[str], rule: str = "fastvggt") -> Figure:
    """Errors against m, a line per room and the mean; one column for each set of walks, one row an error.

    Args:
        records: heading -> record.
        errors: names of `ERRORS`, positive; the axes are logarithmic, the same along a row.
        rule: settings of this rule without options are drawn.
    """
    figure, axes = plt.subplots(
        len(errors), len(records), figsize=(9.8, 2.4 * len(errors) + 0.4), sharey="row", squeeze=False
    )
    for row, error in zip(axes, errors, strict=True):
        for ax, (heading, record) in zip(row, records.items(), strict=True):
            at = [i for i, s in enumerate(record["settings"]) if i == PLAIN or s.split()[0] == rule]
            at = [i for i in at if len(record["settings"][i].split()) < 3]
            strengths = [strength(record["settings"][i]) for i in at]
            ax.plot(strengths, record[error][at], color=PALETTE["grey"], lw=0.8, alpha=0.8)
            ax.plot(strengths, record[error][at].mean(1), "o-", color=PALETTE["vermilion"], lw=2, ms=4)
            ax.set(yscale="log", xlim=(-0.05, 0.75))
            ax.set_title(f"{heading.replace(', ', chr(10))}" if error == errors[0] else "", fontsize=9.5)
        row[0].set_ylabel(ERRORS[error])
    for ax in axes[-1]:
        ax.set_xlabel("m")
    for row, error in zip(axes, errors, strict=True):
        _plain_ticks(row[0], np.concatenate([r[error].ravel() for r in records.values()]))
    return figure


def _plain_ticks(ax: Axes, values: np.ndarray) -> None:
    """Ticks at 1, 2 and 5 times powers of ten that lie among the values, written without powers."""
    low, high = np.nanmin(values), np.nanmax(values)
    steps = [c * 10.0**e for e in range(-4, 4) for c in (1, 2, 5)]
    inside = [s for s in steps if low <= s <= high]
    ax.set_yticks(inside, [f"{s:g}" for s in inside])
    ax.yaxis.set_minor_locator(NullLocator())


def table_of_changes(found: Sequence[Comparison], names: Mapping[tuple[str, int], str]) -> Figure:
    """Paired changes in per cent of the unmerged median: rows are errors, columns walks and m.

    Bold figures with a mark are those whose whole interval lies on one side of zero.

    Args:
        found: of one rule.
        names: (scenes, frames) -> heading of its columns, in their order.
    """
    groups = {key: sorted({c.setting for c in found if (c.scenes, c.frames) == key}) for key in names}
    columns = [(key, setting) for key, settings in groups.items() for setting in settings]
    rows = [e for e in ERRORS if any(c.error == e for c in found)]
    at = {((c.scenes, c.frames), c.setting, c.error): c for c in found}
    shades = np.full((len(rows), len(columns)), np.nan)
    figure, ax = plt.subplots(figsize=(9.8, 0.42 * len(rows) + 1.5))
    for i, error in enumerate(rows):
        for j, (key, setting) in enumerate(columns):
            cell = at.get((key, setting, error))
            if cell is not None:
                shades[i, j] = 100 * cell.relative.median
                sign = {"better": "▼", "worse": "▲", "unclear": ""}[cell.side]
                strong = "bold" if sign else "normal"
                words = f"{shades[i, j]:+.0f}"
                words = ("0" if words in ("+0", "-0") else minus(words)) + sign
                ax.text(j, i, words, ha="center", va="center", fontsize=7.5, weight=strong)
    drawn = ax.imshow(shades, cmap=_clear_at_zero(), norm=TwoSlopeNorm(0, -LIMIT, LIMIT), aspect="auto")
    ax.set_yticks(range(len(rows)), [ERRORS[e].replace("\n", " ") for e in rows])
    ticks = [f"{strength(s):g}\n{_kept(found, key, s):.2f}" for key, s in columns]
    ax.set_xticks(range(len(columns)), ticks, fontsize=8.5)
    ax.set_xlabel("m asked for; below it the fraction of tokens really kept")
    ax.grid(False)
    start = 0
    for key, settings in groups.items():
        middle = start + (len(settings) - 1) / 2
        ax.text(middle, -0.7, names[key], ha="center", va="bottom", fontsize=8.5)
        start += len(settings)
        ax.axvline(start - 0.5, color=PALETTE["grey"], lw=1)
    figure.colorbar(drawn, ax=ax, label="change (%)", extend="both", shrink=0.85)
    return figure


def _clear_at_zero() -> ListedColormap:
    """Violet to orange, without colour in the middle: words are read on it in either theme."""
    colours = np.array(plt.get_cmap("PuOr_r")(np.linspace(0.1, 0.9, 256)))
    colours[:, 3] = 0.65 * np.abs(np.linspace(-1, 1, 256))
    return ListedColormap(colours)


def _kept(found: Sequence[Comparison], key: tuple[str, int], setting: str) -> float:
    return next(c.kept for c in found if (c.scenes, c.frames) == key and c.setting == setting)


def rules_compared(records: Mapping[str, Record], error: str, settings: Sequence[str]) -> Figure:
    """Paired change of one error under many settings, per cent of the unmerged median; one panel a record.

    Settings that a record lacks leave an empty line.
    """
    figure, axes = plt.subplots(
        1, len(records), figsize=(9.6, 0.3 * len(settings) + 1.3), sharex=True, sharey=True
    )
    where = np.arange(len(settings))[::-1]
    for ax, (title, record) in zip(np.atleast_1d(axes), records.items(), strict=True):
        for y, setting in zip(where, settings, strict=True):
            if setting in record["settings"]:
                found = compare(record, error, setting)
                i, colour = (
                    found.relative,
                    {"better": "green", "worse": "vermilion", "unclear": "grey"}[found.side],
                )
                ax.plot([100 * i.low, 100 * i.high], [y, y], color=PALETTE[colour], lw=2)
                ax.plot(100 * i.median, y, "o", color=PALETTE[colour], ms=5)
        ax.axvline(0, color=PALETTE["black"], lw=0.8)
        ax.set(title=title, xlabel="change (%)")
    np.atleast_1d(axes)[0].set_yticks(where, settings)
    return figure


def slopes(
    panels: Mapping[str, tuple[np.ndarray, np.ndarray]], names: tuple[str, str], limit: float | None = None
) -> Figure:
    """One line a room from one way of running to another, with the mean; one panel for each error.

    Args:
        panels: label of the axis -> (before, after), one value a room.
        names: of the two ways.
        limit: drawn in the first panel, above which a room has failed.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(9.6, 3.4), squeeze=False)
    for ax, (label, pair) in zip(axes[0], panels.items(), strict=True):
        ax.plot([0, 1], pair, "o-", color=PALETTE["grey"], lw=1, ms=3, alpha=0.9)
        ax.plot([0, 1], [pair[0].mean(), pair[1].mean()], "o-", color=PALETTE["vermilion"], lw=2.4, ms=6)
        ax.set_xticks([0, 1], names)
        ax.set(ylabel=label, xlim=(-0.3, 1.3), ylim=(0, None))
    if limit is not None:
        axes[0, 0].axhline(limit, color=PALETTE["black"], ls=":", lw=1)
    return figure


def change_by_baseline(records: Mapping[str, Record], error: str, setting: str, unit: str) -> Figure:
    """Change of one error against the mean of merged and unmerged error, one point a scene (Oldham's plot).

    Below the line merging helped.
    """
    figure, ax = plt.subplots(figsize=(7.2, 3.8))
    for colour, (label, record) in zip(SERIES, records.items(), strict=False):
        if setting in record["settings"]:
            merged, plain = errors_of(record, error, setting)
            ax.plot(
                (merged + plain) / 2, merged - plain, "o", color=PALETTE[colour], ms=5, alpha=0.8, label=label
            )
    ax.axhline(0, color=PALETTE["black"], lw=0.8)
    ax.set(
        xscale="log",
        xlabel=f"mean of merged and unmerged error ({unit})",
        ylabel=f"merged − unmerged ({unit})",
    )
    ax.set_yscale("symlog", linthresh=2)  # a few rooms change by many times what the others do
    low, high = ax.get_ylim()
    ax.set_ylim(1.4 * low, 1.4 * high)
    ticks = [b * sign for sign in (-1, 1) for b in BASELINES if b > 1 and _inside(ax, b * sign)] + [0]
    ax.set_yticks(ticks, [minus(f"{t:g}") for t in ticks])
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_xticks(BASELINES, [f"{b:g}" for b in BASELINES])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.legend(title="walks", fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _inside(ax: Axes, y: float) -> bool:
    low, high = ax.get_ylim()
    return bool(low <= y <= high)


def entropy_beside_error(
    record: Record, entropies: Mapping[str, str], error: str, label: str, limits: tuple[float, float]
) -> Figure:
    """One point a scene and setting: normalised entropy and an error; one panel for each kind of entropy.

    Args:
        entropies: name in the record -> title of its panel.
        limits: (entropy, error) of the printed threshold, drawn as lines.
    """
    figure, axes = plt.subplots(1, len(entropies), figsize=(9.6, 3.6), sharey=True, squeeze=False)
    for ax, (name, title) in zip(axes[0], entropies.items(), strict=True):
        for colour, setting, row in zip(SERIES, record["settings"], range(99), strict=False):
            ax.plot(
                record[name][row],
                record[error][row],
                "o",
                color=PALETTE[colour],
                ms=4,
                alpha=0.8,
                label=setting,
            )
        ax.axvline(limits[0], color=PALETTE["grey"], ls="--", lw=1)
        ax.axhline(limits[1], color=PALETTE["grey"], ls="--", lw=1)
        ax.set(title=title, xlabel="entropy / ln k", xlim=(0, 1), ylim=(0, None))
    axes[0, 0].set_ylabel(label)
    shared_legend(figure, axes[0, 0], "outside upper center")
    return figure

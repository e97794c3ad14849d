"""Pictures of a trained model: what it was shown, how it learned, how its errors grow with the frames."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from book.study.intervals import Interval, median_interval
from book.study.shipped import TARGETS, Report, errors, lengths
from book.study.style import PALETTE, intervals, own_pixels, shared_legend

LOSSES = {"camera": "vermilion", "depth": "blue", "point": "green", "match": "purple", "track": "orange"}
WHO = {"model": ("mini VGGT", "blue", "o"), "still": ("stands still", "grey", "s")}
WALKS = {"longer": "longer walks", "denser": "the same walk, denser", "large": "large rooms, longer walks"}
FAMILY = (
    "trained-to-4",
    "to4-seed0",
    "mini",
    "trained-to-24",
    "to24-seed0",
)  # by longest sequence, then date
FAMILY_COLOURS = ("vermilion", "blue", "green", "purple")
ERRORS = {
    "rotation_deg": "rotation error (°)",
    "centres_relative": "motion left\nunexplained",
    "ate_relative": "ATE / path",
    "abs_rel": "AbsRel of depth",
}


def gallery(rows: Mapping[str, Sequence[np.ndarray]]) -> Figure:
    """Rows of pictures under each other, one column a room.

    Args:
        rows: label -> pictures, each (3, H, W) in [0, 1], or (H, W) z-depth in metres on one scale a row.
    """
    columns = len(next(iter(rows.values())))
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(1.55 * columns + 0.9, 1.55 * len(rows)), squeeze=False
    )
    for line, (label, pictures) in zip(axes, rows.items(), strict=True):
        flat = pictures[0].ndim == 2
        top = max(float(picture.max()) for picture in pictures)
        for ax, picture in zip(line, pictures, strict=True):
            upright = picture if flat else np.clip(picture.transpose(1, 2, 0), 0, 1)
            shown = ax.imshow(upright, vmin=0, vmax=top, interpolation=own_pixels(upright))
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            ax.spines[:].set_visible(False)
        line[0].set_ylabel(label, fontsize=9)
        if flat:
            figure.colorbar(shown, ax=list(line), label="m", shrink=0.85)
    return figure


def learning_curves(report: Report) -> Figure:
    """Left: training losses. Right: rotation error on validation rooms beside that of the identity."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.5))
    losses, checks = report["losses"], report["validations"]
    for name, colour in LOSSES.items():
        points = [(point["step"], point[name]) for point in losses if name in point]
        if points:
            left.plot(*zip(*points, strict=True), color=PALETTE[colour], lw=1.2, label=name)
    left.set(yscale="log", xlabel="step", ylabel="loss (unweighted)")
    left.legend(ncols=2)
    steps = [point["step"] for point in checks]
    right.plot(
        steps, [p["rot_deg"] for p in checks], color=PALETTE["blue"], marker="o", ms=3, label="mini VGGT"
    )
    still = [p["rot_identity_deg"] for p in checks]
    right.plot(steps, still, color=PALETTE["grey"], ls="--", label="identity: no camera turns")
    right.set(xlabel="step", ylabel="median rotation error (°)")
    right.set_ylim(bottom=0)
    right.legend()
    return figure


def errors_by_frames(report: Report, trained: int, seed: int = 0) -> Figure:
    """Median errors against the number of frames, one column a kind of walk, one row an error.

    Bars are 95 % bootstrap intervals over rooms; the oracle is the line at zero.

    Args:
        report: of the weights.
        trained: longest sequence in training; a vertical line.
        seed: of the bootstrap.
    """
    figure, axes = plt.subplots(
        len(ERRORS), len(WALKS), figsize=(9.4, 8.2), sharex=True, sharey="row", squeeze=False
    )
    for line, (error, label) in zip(axes, ERRORS.items(), strict=True):
        for ax, walk in zip(line, WALKS, strict=True):
            for shift, who in zip((0.97, 1.03), WHO, strict=True):
                _curve(ax, report, walk, who, error, shift, seed)
            ax.axhline(0, color=PALETTE["green"], lw=1.2, label="oracle")
            ax.axvline(trained, color=PALETTE["black"], lw=0.8, ls=":")
        line[0].set_ylabel(label)
    for ax, name in zip(axes[0], WALKS.values(), strict=True):
        ax.set_title(name)
    ticks = lengths(report, next(iter(WALKS)))
    for ax in axes[-1]:
        ax.set(xscale="log", xlabel="frames S")
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
    axes[0, 0].legend(loc="upper left")
    axes[0, 1].annotate(
        "longest in training", (trained, 0.97), xycoords=("data", "axes fraction"), rotation=90, fontsize=7,
        ha="right", va="top",
    )  # fmt: skip
    return figure


def errors_by_training_length(reports: Mapping[str, Report], seed: int = 0) -> Figure:
    """Rotation error on denser walks against the number of frames, one curve for each report.

    A dotted line in the same colour marks the longest sequence that the network was trained on.

    Args:
        reports: of networks by what they saw; one colour a longest sequence, dashed for a second network.
        seed: of the bootstrap intervals over rooms (95 %).
    """
    figure, ax = plt.subplots(figsize=(7.2, 4.2))
    lengths_seen: list[int] = []
    for name, report in reports.items():
        most = report["config"]["most_frames"]
        again = most in lengths_seen
        lengths_seen += [] if again else [most]
        colour = FAMILY_COLOURS[lengths_seen.index(most) % len(FAMILY_COLOURS)]
        found = {
            frames: median_interval(errors(report, "denser", frames, "model", "rotation_deg"), seed)
            for frames in lengths(report, "denser")
        }
        label = f"{name}, {report['frames'] / 1000:,.0f} thousand images"
        intervals(ax, list(found), list(found.values()), colour, label, fmt="s--" if again else "o-")
        ax.axvline(most, color=PALETTE[colour], ls=":", lw=1.2)
    ax.set_xscale("log", base=2)
    ax.set(xlabel="frames S of one stretch of path", ylabel="rotation error (°)", ylim=(0, None))
    ax.xaxis.set_major_formatter("{x:g}")
    shared_legend(figure, ax, "outside upper center", ncols=2)
    return figure


def _curve(ax: Any, report: Report, walk: str, who: str, error: str, shift: float, seed: int) -> None:
    points: dict[float, Interval] = {}
    for frames in lengths(report, walk):
        values = errors(report, walk, frames, who, error)
        if not np.isnan(values).any():
            points[shift * frames] = median_interval(values, seed)
    if points:
        name, colour, marker = WHO[who]
        intervals(ax, list(points), list(points.values()), colour, name, fmt=f"{marker}-")


def targets_table(report: Report, frames: int, seed: int = 0) -> pd.DataFrame:
    """Each target, what was measured at `frames` frames of longer walks, and whether it is met."""
    rows = []
    for target in TARGETS:
        model, still = (
            median_interval(errors(report, "longer", frames, who, target.error), seed)
            for who in ("model", "still")
        )
        met = "yes" if model.median <= target.limit else "no"
        if met == "yes" and model.high > target.limit:
            met = "yes, but its interval reaches beyond"
        rows.append(
            {
                "median over rooms": target.label,
                "target": f"≤ {target.limit:g}{target.unit}",
                "measured": f"{model.median:.3g}{target.unit}",
                "95 % interval": f"{model.low:.3g} … {model.high:.3g}",
                "standing still": f"{still.median:.3g}{target.unit}",
                "met?": met,
            }
        )
    return pd.DataFrame(rows).set_index("median over rooms")


def errors_table(report: Report, walk: str, seed: int = 0) -> pd.DataFrame:
    """Medians of model and baseline on one kind of walk, one line for each number of frames."""
    names = {"rotation_deg": "rotation (°)", "centres_relative": "motion unexplained", "abs_rel": "AbsRel"}
    rows = []
    for frames in lengths(report, walk):
        row: dict[tuple[str, str], Any] = {
            ("", "frames"): frames,
            ("", "pieces"): len(errors(report, walk, frames, "model", "rotation_deg")),
        }
        for error, name in names.items():
            for who, label in (("model", "mini"), ("still", "still")):
                found = median_interval(errors(report, walk, frames, who, error), seed)
                row[name, label] = f"{found.median:.3g}"
        rows.append(row)
    return (
        pd.DataFrame(rows, columns=pd.MultiIndex.from_tuples(rows[0]))
        .set_index(("", "frames"))
        .rename_axis("frames")
    )

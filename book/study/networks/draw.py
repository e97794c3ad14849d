"""Pictures of a trained model: what it was shown, how it learned, how its errors grow with the frames."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from book.study.fits import growth
from book.study.intervals import Interval, median_interval
from book.study.shipped import TARGETS, Report, errors, lengths
from book.study.style import PALETTE, intervals, shared_legend

LOSSES = {"camera": "vermilion", "depth": "blue", "point": "green", "match": "purple", "track": "orange"}
WHO = {"model": ("mini VGGT", "blue", "o"), "still": ("stands still", "grey", "s")}
WALKS = {"longer": "longer walks", "denser": "the same walk, denser", "large": "large rooms, longer walks"}
FAMILY = (  # by longest sequence, then date
    *("trained-to-4", "to4-seed0", "to4-seed1"),
    *("mini", "to12-seed1"),
    *("trained-to-24", "to24-seed0"),
)
FAMILY_COLOURS = ("vermilion", "blue", "green", "purple")
SHOWN = (8, 32, 128)  # frames of the table of the family
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
            shown = ax.imshow(
                picture if flat else np.clip(picture.transpose(1, 2, 0), 0, 1), vmin=0, vmax=top
            )
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


def family_table(reports: Mapping[str, Report], seed: int = 0) -> pd.DataFrame:
    """What each network was trained on, for how long, and its median rotation error on denser walks."""
    rows = {}
    for name, report in reports.items():
        rotation = {S: errors(report, "denser", S, "model", "rotation_deg") for S in SHOWN}
        found = {f"{S} frames": str(median_interval(values, seed)) for S, values in rotation.items()}
        rows[name] = {
            "sequences": f"{report['sequences_with_parents']:,}",
            "images": f"{report['frames']:,}",
            "steps": f"{report['steps']:,}",
        } | found
    return pd.DataFrame(rows).T.rename_axis("trained")


def _curve(ax: Any, report: Report, walk: str, who: str, error: str, shift: float, seed: int) -> None:
    points: dict[float, Interval] = {}
    for frames in lengths(report, walk):
        values = errors(report, walk, frames, who, error)
        if not np.isnan(values).any():
            points[shift * frames] = median_interval(values, seed)
    if points:
        name, colour, marker = WHO[who]
        intervals(ax, list(points), list(points.values()), colour, name, fmt=f"{marker}-")


def keys_in_effect(
    designs: Mapping[str, Mapping[str, np.ndarray]],
    frames: Sequence[int],
    tokens: int,
    at: int,
    seed: int = 0,
) -> Figure:
    """Left: how many keys a patch query has in effect. Right: what the first frame's special tokens draw.

    Args:
        designs: label -> arrays of `designs.measure`, at most as many as there are `FAMILY_COLOURS`.
        frames: numbers of frames, the first axis of those arrays. tokens: of a frame.
        at: number of frames of the right panel.
        seed: of the bootstrap intervals over rooms (95 %).
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.9), layout="constrained")
    left.plot(frames, [tokens * count for count in frames], ls=":", color=PALETTE["black"], label="all keys")
    for place, ((label, arrays), colour) in enumerate(zip(designs.items(), FAMILY_COLOURS, strict=False)):
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
        reports: label -> record of the weights, at most as many as there are `FAMILY_COLOURS`.
        in_effect: label -> arrays of `designs.measure`. frames: numbers of frames, the first axis of those.
        seed: of the bootstrap intervals over rooms (95 %).
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.9), layout="constrained")
    for place, ((label, report), colour) in enumerate(zip(reports.items(), FAMILY_COLOURS, strict=False)):
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

"""Heat maps of chosen tokens: printed, interactive, and the numbers that say how alike they are."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from book.study.intervals import Interval
from book.study.style import PALETTE, intervals, shared_legend

COLOURS = ("black", "vermilion", "blue", "green", "purple")  # the unmerged run, then merged ones
TEMPLATE = Path(__file__).with_name("widget.html")
BLEND = (0.4, 0.9)  # opacity of a map over its frame, where it is zero and at the top of the scale


def side_by_side(
    images: np.ndarray,
    maps: Mapping[str, np.ndarray],
    query: tuple[int, int, int] | None,
    frames: Many[int],
    uniform: float,
) -> Figure:
    """Maps of one token laid over frames: one row per block, frames across, one group of columns per run.

    Args:
        images: (S, 3, H, W) in [0, 1].
        maps: label -> (layers, S, h, w) softmax probabilities.
        query: (frame, patch row, patch column) of the token, marked by a cross; None for a special token.
        frames: which frames to show.
        uniform: probability of a token under uniform attention, 1/N.

    Returns:
        The figure. A row has one colour scale, at its right, in multiples of uniform attention.
    """
    layers = len(next(iter(maps.values())))
    figure, axes = _grid(layers, len(frames), len(maps), images.shape[2] / images.shape[3])
    for row in range(layers):
        shown = np.stack([m[row, list(frames)] for m in maps.values()]) / uniform  # (runs, frames, h, w)
        top = float(np.percentile(shown, 99.5))
        for run, label in enumerate(maps):
            for column, frame in enumerate(frames):
                ax = axes[row, run * (len(frames) + 1) + column]
                mark = query[1:] if query is not None and query[0] == frame else None
                _overlay(ax, images[frame], shown[run, column], top, mark)
                if row == 0:
                    ax.set_title(f"{'' if column else label}\nframe {frame}", fontsize=8.5, loc="left")
        axes[row, 0].set_ylabel(f"block {row}", fontsize=9)
        scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, top), "magma")
        figure.colorbar(scale, cax=axes[row, -1], extend="max")
        axes[row, -1].tick_params(labelsize=8)
    axes[0, -1].set_title("× uniform", fontsize=8.5, loc="left")
    return figure


def _grid(layers: int, frames: int, runs: int, aspect: float) -> tuple[Figure, np.ndarray]:
    """Axes (layers, runs · (frames + 1)): after each run a gap, the last for colour bars."""
    ratios = ([1.0] * frames + [0.15]) * runs
    figure, axes = plt.subplots(
        layers,
        len(ratios),
        figsize=(sum(ratios) + 0.9, aspect * layers + 0.5),
        gridspec_kw={"width_ratios": ratios, "wspace": 0.06, "hspace": 0.06},
        squeeze=False,
        layout="none",  # the constrained one takes seconds for so many axes
    )
    figure.subplots_adjust(0.04, 0.01, 0.94, 1 - 0.45 / figure.get_figheight())
    for ax in axes[:, :-1].ravel():
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_frame_on(False)
    return figure, axes


def _overlay(
    ax: plt.Axes, image: np.ndarray, ratio: np.ndarray, top: float, mark: tuple[int, ...] | None
) -> None:
    """One frame (3, H, W) under one map (h, w), the more opaque the hotter; a cross on the marked patch."""
    height, width = image.shape[1:]
    ax.imshow(image.mean(0), cmap="gray", vmin=0, vmax=1.3)
    alpha = BLEND[0] + (BLEND[1] - BLEND[0]) * np.clip(ratio / top, 0, 1)
    ax.imshow(ratio, cmap="magma", alpha=alpha, vmin=0, vmax=top, extent=(0, width, height, 0))
    if mark is not None:
        down, right = (np.array(mark) + 0.5) / ratio.shape * (height, width)
        ax.plot(right, down, "c+", ms=8, mew=1.8)


def depth_profiles(panels: Mapping[str, Mapping[str, Many[Interval]]], threshold: float) -> Figure:
    """Measures against depth, a panel each, with intervals; a dashed line at `threshold` in each.

    Args:
        panels: title of a panel -> label of a run -> one interval per block. Labels have one colour in all.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(3.7 * len(panels) + 0.4, 3.5), sharey=True)
    for ax, (title, runs) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        for place, (label, found) in enumerate(runs.items()):
            x = np.arange(len(found)) + 0.08 * (place - (len(runs) - 1) / 2)
            intervals(ax, x, found, COLOURS[place], label)
        ax.axhline(threshold, color=PALETTE["grey"], ls="--", lw=1)
        ax.set(title=title, xlabel="global block", ylim=(0, 1))
    np.atleast_1d(axes)[0].set_ylabel("total variation")
    np.atleast_1d(axes)[0].legend(loc="lower right", bbox_to_anchor=(1.0, 0.2), fontsize=8)
    return figure


def compositions(shares: Mapping[str, np.ndarray]) -> Figure:
    """What maps consist of, block by block: stacked shares, one panel per run.

    Args:
        shares: label of a run -> (layers, 3): uniform, common to all tokens, a token's own; sum 1.
    """
    figure, axes = plt.subplots(1, len(shares), figsize=(2.9 * len(shares) + 0.6, 3.2), sharey=True)
    names = ("uniform", "common to all tokens", "the token's own")
    for ax, (label, values) in zip(np.atleast_1d(axes), shares.items(), strict=True):
        bottom = np.zeros(len(values))
        for name, colour, part in zip(names, ("grey", "orange", "blue"), values.T, strict=True):
            ax.bar(np.arange(len(values)), part, 0.8, bottom=bottom, color=PALETTE[colour], label=name)
            bottom = bottom + part
        ax.set(title=label, xlabel="global block", ylim=(0, 1), xticks=range(len(values)))
        ax.grid(visible=False)
    np.atleast_1d(axes)[0].set_ylabel("share of the map's square")
    shared_legend(figure, np.atleast_1d(axes)[0], "outside upper center")
    return figure


def changes(rows: Mapping[str, Mapping[str, tuple[Interval, Interval]]]) -> Figure:
    """What merging changes: ratios to the unmerged run, filled with its own tokens, open rehearsed.

    Args:
        rows: measure -> label of a run -> (ratio of the merged run, ratio rehearsed on unmerged tokens).
    """
    figure, ax = plt.subplots(figsize=(7.6, 0.62 * len(rows) + 1.0))
    labels = list(next(iter(rows.values())))
    for row, measured in enumerate(rows.values()):
        for place, label in enumerate(labels):
            colour = COLOURS[1 + place]
            for part, (interval, face, name) in enumerate(
                zip(measured[label], (PALETTE[colour], "white"), ("run", "matrix alone"), strict=True)
            ):
                y = row + 0.19 * (2 * place + part - (2 * len(labels) - 1) / 2)
                shown = f"{label}, {name}" if row == 0 else None
                intervals(ax, [y], [interval], colour, shown, across=True, fmt="o", ms=6, mfc=face)
    ax.axvline(1, color=PALETTE["black"], lw=1)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel("merged over unmerged (1 = unchanged, below 1 = more collapsed)")
    ax.grid(axis="y", visible=False)
    figure.legend(loc="outside upper center", ncols=len(labels), fontsize=8.5)
    return figure


@dataclass(frozen=True)
class Strength:
    """Maps of one fusion strength. label: as the reader picks it. kept: N'/N. maps: (tokens, layers, heads,
    S, h, w) probabilities. uniformity: (tokens, layers, heads) distance of each whole map from uniform.
    special: (tokens, layers, heads) share that special tokens get.
    """

    label: str
    kept: float
    maps: np.ndarray
    uniformity: np.ndarray
    special: np.ndarray


def widget(
    images: np.ndarray,
    tokens: Many[Mapping[str, Any]],
    strengths: Many[Strength],
    uniform: float,
    heads: Many[str],
) -> str:
    """An interactive figure as HTML with its data and script inside: no server, no library, keyboard only.

    Maps are stored as bytes, each scaled by its own maximum; frames as JPEG.

    Args:
        images: (S, 3, H, W) in [0, 1], drawn under the maps; any resolution.
        tokens: each with name, frame, row and column (None for a special token).
        strengths: unmerged first.
        uniform: 1/N.
        heads: names of the last but three axes' entries of the maps.
    """
    _, layers, _, frames, high, wide = strengths[0].maps.shape
    stops = [mpl.colors.to_hex(c) for c in mpl.colormaps["magma"](np.linspace(0, 1, 9))]
    data = {
        "shape": {"layers": layers, "frames": frames, "high": high, "wide": wide},
        "aspect": images.shape[2] / images.shape[3],
        "frames": [_jpeg(image) for image in images],
        "tokens": list(tokens),
        "heads": list(heads),
        "strengths": [_stored(s, uniform) for s in strengths],
        "colours": stops,
        "blend": BLEND,
    }
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("</", "<\\/")
    return TEMPLATE.read_text(encoding="utf-8").replace("__DATA__", text)


def _stored(strength: Strength, uniform: float) -> dict[str, Any]:
    top = strength.maps.max((-3, -2, -1))
    scaled = strength.maps / np.maximum(top, np.finfo(np.float32).tiny)[..., None, None, None]
    rounded = {
        "top": top / uniform,
        "uniformity": strength.uniformity,
        "special": strength.special,
    }
    return {
        "label": strength.label,
        "kept": round(strength.kept, 3),
        "bytes": base64.b64encode(np.rint(255 * scaled).astype(np.uint8).tobytes()).decode(),
        **{name: [float(f"{v:.3g}") for v in values.ravel()] for name, values in rounded.items()},
    }


def _jpeg(image: np.ndarray) -> str:
    picture = Image.fromarray(np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8).transpose(1, 2, 0))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

"""Pictures of attention spectra: what each measure sees, how a bracket closes, how accurate it is."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

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


def explorer(
    values: Sequence[float], spectra: np.ndarray, measures: Mapping[str, np.ndarray], name: str
) -> Any:
    """Interactive: a slider over `values` moves the spectrum (left) and a marker along each measure (right).

    Args:
        values: slider positions. spectra: (len(values), k) singular values, descending. measures: name ->
        (len(values),). name: what the slider changes.

    Returns:
        A plotly figure; show it with the plotly.min.js that lies beside the pages, so that it works offline.
    """
    from plotly import graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(
        1, 2, horizontal_spacing=0.12, subplot_titles=("singular values σᵢ/σ₁", "measures")
    )
    index = np.arange(1, spectra.shape[1] + 1)
    for i, row in enumerate(spectra):
        line = {"color": PALETTE["blue"], "width": 2}
        trace = go.Scatter(x=index, y=row / row[0], line=line, visible=i == 0, showlegend=False)
        figure.add_trace(trace, 1, 1)
    for colour, (label, curve) in zip(SERIES, measures.items(), strict=False):
        line = {"color": PALETTE[colour], "width": 2}
        figure.add_trace(go.Scatter(x=list(values), y=curve, name=label, line=line), 1, 2)
    figure.update_xaxes(type="log", title="index i", row=1, col=1)
    figure.update_yaxes(type="log", range=[-5, 0.2], row=1, col=1)
    figure.update_xaxes(title=name, row=1, col=2)
    figure.update_yaxes(range=[0, 1.02], row=1, col=2)
    steps = _steps(values, len(measures))
    slider = {"steps": steps, "currentvalue": {"prefix": f"{name} = "}, "pad": {"t": 45}}
    figure.update_layout(
        sliders=[slider], shapes=[_mark(values[0])], template="plotly_white", height=460,
        margin={"l": 50, "r": 20, "t": 40, "b": 20},
    )  # fmt: skip
    return figure


def _steps(values: Sequence[float], curves: int) -> list[dict]:
    """Slider steps: show one spectrum and all curves, and move the mark."""
    count = len(values)
    return [
        {
            "label": f"{value:g}",
            "method": "update",
            "args": [
                {"visible": [j == i for j in range(count)] + [True] * curves},
                {"shapes": [_mark(value)]},
            ],
        }
        for i, value in enumerate(values)
    ]


def _mark(value: float) -> dict:
    line = {"color": PALETTE["black"], "width": 1, "dash": "dot"}
    return {
        "type": "line",
        "x0": value,
        "x1": value,
        "y0": 0,
        "y1": 1,
        "xref": "x2",
        "yref": "y2",
        "line": line,
    }

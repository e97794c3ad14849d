"""A figure to touch for `slider.js`: measured curves, and what they say where a slider stands."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from book.study.numbers import number

POINTS = 60  # of a profile, evenly over the logarithm of its index


@dataclass(frozen=True)
class Panel:
    """One quantity: ``values[series][position]``, NaN where nothing was run; the unit follows its number."""

    title: str
    values: Sequence[Sequence[float]]
    unit: str = ""


@dataclass(frozen=True)
class Profile:
    """A curve that is another one at every position: ``values[position][index]``, positive, from index 1."""

    title: str
    values: np.ndarray


def slider(
    name: str,
    positions: Sequence[float],
    panels: Sequence[Panel],
    series: Sequence[str] = ("",),
    profile: Profile | None = None,
) -> str:
    """The figure as HTML; without a script it is a table of the first series.

    Args:
        name: what the slider moves. positions: where it stands, in order.
        series: what a reader chooses between, e.g. rules of merging.

    Raises:
        ValueError: a panel has other numbers of series and positions than were named.
    """
    for panel in panels:
        if (shape := np.shape(panel.values)) != (len(series), len(positions)):
            raise ValueError(f"{panel.title}: values {shape}, not (series, positions) as named")
    content: dict[str, Any] = {
        "name": name,
        "at": list(positions),
        "series": list(series),
        "panels": [{"title": p.title, "unit": p.unit, "values": _known(p.values)} for p in panels],
    }
    if profile is not None:
        count = profile.values.shape[1]
        index = np.unique(np.geomspace(1, count, min(POINTS, count)).round().astype(int))
        values = profile.values[:, index - 1].tolist()
        content["profile"] = {"title": profile.title, "numbers": index.tolist(), "values": values}
    data = html.escape(json.dumps(content, allow_nan=False, separators=(",", ":")))
    without = f"<noscript>{_table(name, positions, panels)}</noscript>"
    return f'<div class="living slider" data-slider="{data}">{without}</div>'


def _known(values: Sequence[Sequence[float]]) -> list[list[float | None]]:
    return [[None if math.isnan(v) else float(v) for v in row] for row in values]


def _table(name: str, positions: Sequence[float], panels: Sequence[Panel]) -> str:
    """The first series, a row for each panel."""
    head = "".join(f"<th>{name} = {position:g}</th>" for position in positions)
    rows = "".join(
        f"<tr><th>{html.escape(panel.title)}</th>"
        + "".join(f"<td>{'–' if math.isnan(v) else number(v) + panel.unit}</td>" for v in panel.values[0])
        + "</tr>"
        for panel in panels
    )
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>"

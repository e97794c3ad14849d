"""A figure as the pages show it: a vector graphic on clear ground, with type that can be read."""

from io import StringIO

import matplotlib as mpl
import numpy as np
from matplotlib.collections import Collection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

COLUMN = 8.2  # inches of the widest figure that a page shows at full size, in a window of 1,280 pixels
SMALLEST = 8.4  # points on the screen: a little over 11 pixels
MANY = 3000  # marks, or corners of a line, from which pixels are smaller than curves
BYTES = 1_500_000


def picture(figure: Figure) -> str:
    """A figure as SVG, the same bytes each time; small type is raised so that it can be read (`legible`).

    Raises:
        ValueError: the graphic would take more than `BYTES` on the page.
    """
    legible(figure)
    for artist in figure.findobj(_has_many_marks):
        artist.set_rasterized(True)
    target = StringIO()
    with mpl.rc_context({"svg.hashsalt": "book"}):
        figure.savefig(target, format="svg", bbox_inches="tight", metadata={"Date": None})
    found = target.getvalue()
    if len(found) > BYTES:
        raise ValueError(
            f"a figure of {len(found) / 1e6:.1f} MB is too large for a page: draw fewer marks, "
            "or let the dense ones be pixels (set_rasterized)"
        )
    return found[found.index("<svg") :]


def legible(figure: Figure) -> None:
    """Raise type that would be smaller than `SMALLEST` points once the figure has the width of the page."""
    least = SMALLEST * max(1.0, figure.get_figwidth() / COLUMN)
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if float(text.get_fontsize()) < least:
            text.set_fontsize(least)
    for ax in figure.axes:  # labels of ticks are made anew at each drawing, from the axis' own size
        for axis in (ax.xaxis, ax.yaxis):
            for which in ("major", "minor"):
                labels = axis.get_ticklabels(minor=which == "minor")
                if any(float(label.get_fontsize()) <= least for label in labels):
                    axis.set_tick_params(which, labelsize=least)


def _has_many_marks(artist: object) -> bool:
    if isinstance(artist, QuadMesh):
        values = artist.get_array()
        return values is not None and np.size(values) > MANY
    if isinstance(artist, Collection):
        return (
            max(
                len(np.asarray(artist.get_offsets())),
                sum(len(np.asarray(p.vertices)) for p in artist.get_paths()),
            )
            > MANY
        )
    return isinstance(artist, Line2D) and len(np.asarray(artist.get_xydata())) > MANY

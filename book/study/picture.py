"""A figure as the pages show it: a vector graphic on clear ground, with type that can be read."""

import base64
import re
from io import BytesIO, StringIO

import matplotlib as mpl
import numpy as np
from matplotlib.collections import Collection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image

COLUMN = 8.2  # inches of the widest figure that a page shows at full size, in a window of 1,280 pixels
SMALLEST = 8.4  # points on the screen: a little over 11 pixels
MANY = 3000  # marks, or corners of a line, from which pixels are smaller than curves
BYTES = 1_500_000
PIXELS, PREFIX = re.compile(r'data:image/png;base64,([^"]*)'), "data:image/jpeg;base64,"
LARGE = 8_000  # bytes of pixels from which a photograph is worth another format
QUALITY = 92  # of JPEG, colours as fine as light: no difference that an eye finds


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
    found = PIXELS.sub(lambda png: lighter(png[0], base64.b64decode(png[1])), target.getvalue())
    if len(found) > BYTES:
        raise ValueError(
            f"a figure of {len(found) / 1e6:.1f} MB is too large for a page: draw fewer marks, "
            "or let the dense ones be pixels (set_rasterized)"
        )
    return found[found.index("<svg") :]


def lighter(address: str, png: bytes) -> str:
    """The address of a picture's pixels, as JPEG where that halves a photograph; a drawing stays as it is.

    Args:
        address: the data URL that the figure has, of `png`.
    """
    image = Image.open(BytesIO(png)).convert("RGBA")
    few_colours, see_through = image.getcolors(256) is not None, np.asarray(image)[..., 3].min() < 255
    if few_colours or see_through or len(png) < LARGE:
        return address
    target = BytesIO()
    image.convert("RGB").save(target, "JPEG", quality=QUALITY, subsampling=0)
    small = len(target.getvalue()) < len(png) / 2
    return PREFIX + base64.b64encode(target.getvalue()).decode() if small else address


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

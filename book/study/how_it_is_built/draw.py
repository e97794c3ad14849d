"""The house as a picture that is text and lines on any ground: SVG in the colours of the page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from itertools import pairwise

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from book.study.how_it_is_built.arrange import COLUMNS, arrange
from book.study.how_it_is_built.house import Arrows, House, direct, last
from book.study.style import PALETTE

WIDTH, BOX, STEP = 10.0, 1.05, 1.75  # of the drawing; height of a room; from one row to the next
TOP = 7.9  # where the drawing begins; the first row of `lib` is at 0
# Stand-ins that the page's own colours replace, so that the picture follows light and dark.
INK, GROUND = "#010203", "#fdfefd"
PAGE = {INK: "currentColor", GROUND: "var(--pst-color-background)"}
Place = tuple[float, float, float]  # centre x, centre y, width


def picture(house: House) -> str:
    """SVG: chapters and notebooks on top, topics and what they share, and below them the rooms of `lib`."""
    arrows = direct(house.library)
    places = rooms(arrows)
    bottom = min(y for _, y, _ in places.values()) - BOX
    figure = Figure(figsize=(4.9, 4.9 * (TOP - bottom) / WIDTH))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(bottom, TOP))
    ax.axis("off")
    book(ax, house)
    for room, others in arrows.items():
        for other in others:
            arrow(ax, places[room], places[other])
    for room, place in places.items():
        box(ax, place, last(room), f"{house.size(room).lines:,} lines", PALETTE["blue"])
    return svg(figure)


def rooms(arrows: Arrows) -> dict[str, Place]:
    """Where the rooms of `lib` stand."""
    return {
        room: ((column + 0.5) * WIDTH / COLUMNS, -STEP * row, 1.82)
        for room, (row, column) in arrange(arrows).items()
    }


def book(ax: Axes, house: House) -> None:
    """The upper half: what readers see, what serves one topic, what topics share, and the door to `lib`."""
    facts = [
        ("book", f"{len(house.chapters)} pages of text, {len(house.notebooks)} notebooks", "vermilion"),
        ("book/study/<topic>", f"{len(house.topics)} folders, {lines(house, house.topics)}", "purple"),
        (
            "book/study",
            f"{len(house.shared)} rooms that topics share, {lines(house, house.shared)}",
            "purple",
        ),
        ("lib", f"{len(house.library)} rooms, {lines(house, house.library)}", "blue"),
    ]
    places = [(WIDTH / 2, TOP - 0.7 - STEP * k, WIDTH - 0.4) for k in range(len(facts))]
    for place, (title, text, colour) in zip(places, facts, strict=True):
        box(ax, place, title, text, PALETTE[colour])
    for above, below in pairwise(places):
        arrow(ax, above, below)


def lines(house: House, rooms: Iterable[str]) -> str:
    """Lines of several rooms together, as text."""
    return f"{sum(house.size(room).lines for room in rooms):,} lines"


def box(ax: Axes, place: Place, title: str, text: str, colour: str) -> None:
    """A room: its name, and a line of facts under it."""
    x, y, width = place
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - BOX / 2),
            width,
            BOX,
            boxstyle="round,pad=0.02,rounding_size=0.12",
            fc=GROUND,
            ec=colour,
            lw=1.5,
            zorder=3,
        )
    )
    ax.text(x, y + 0.2, title, ha="center", va="center", color=INK, size=10.6, weight="bold", zorder=4)
    ax.text(x, y - 0.25, text, ha="center", va="center", color=INK, size=9.2, zorder=4)


def arrow(ax: Axes, above: Place, below: Place) -> None:
    """From a room down to one that it imports."""
    ends = (above[0], above[1] - BOX / 2), (below[0], below[1] + BOX / 2 + 0.04)
    grey = PALETTE["grey"]
    ax.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=9, lw=1.1, color=grey, zorder=2))


def svg(figure: Figure) -> str:
    """The figure as an SVG element whose words are words, in the font and colours of the page."""
    out = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "house", "font.family": "sans-serif"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([\w ]*?)(\d[\d.]*)px [^;\"]*", r"font: \1\2px sans-serif", text)
    for ours, theirs in PAGE.items():
        text = text.replace(ours, theirs)
    return re.sub(r'(?<=<svg)([^>]*?) width="[^"]*"([^>]*?) height="[^"]*"', r"\1\2", text, count=1)

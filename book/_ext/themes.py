"""Figures in both themes: beside every vector graphic that a cell drew lies a copy for the dark pages.

In the copy lines of text, axes and the darkest hues of the palette are exchanged for lighter ones; the ground
of figures is clear (`book.study.style`), so nothing else differs. Pixels, and what is pure black or white
because it lies on a colour, stay as they are.
"""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

COLOUR = re.compile(r"((?:fill|stroke|stop-color): ?)#([0-9a-f]{6})\b")
LIGHTER = {  # of the palette of `book.study.style`
    "0072b2": "4da3e0",
    "d55e00": "f0803a",
    "009e73": "2cc29a",
    "56b4e9": "8fd0ff",
    "222222": "e4e4e4",
    "8a8a8a": "a9a9a9",
}
PLACES, FINER = re.compile(r' (?:d|x|y)="[^"]*"'), re.compile(r"(\.\d\d)\d+")
STYLE, BLANK, INDENT = re.compile(r' style="[^"]*"'), re.compile(r"(?<=[:;]) "), re.compile(r"\n +")


def shorter(svg: str) -> str:
    """Places and paths to a hundredth of a unit, no blanks for the eye: both copies travel with each page."""
    placed = PLACES.sub(lambda found: FINER.sub(r"\1", found[0]), svg)
    return INDENT.sub("\n", STYLE.sub(lambda found: " " + BLANK.sub("", found[0][1:]), placed))


def for_dark(svg: str) -> str:
    """A vector graphic for dark pages."""
    return COLOUR.sub(lambda found: f"{found[1]}#{lighter(found[2])}", svg)


def lighter(colour: str) -> str:
    """What a colour, six hexadecimal digits, becomes: other dark greys are mirrored, all else stays."""
    parts = [int(colour[i : i + 2], 16) for i in (0, 2, 4)]
    if colour in LIGHTER:
        return LIGHTER[colour]
    if 0 < max(parts) < 0x90 and max(parts) - min(parts) < 12:
        return "".join(f"{0xFF - part:02x}" for part in parts)
    return colour


def with_dark_copies(app: Sphinx, tree: nodes.document) -> None:
    """Give each drawn figure of a page its dark copy; the theme shows one of the two."""
    for image in [node for node in tree.findall(nodes.image) if node["uri"].endswith(".svg")]:
        drawn = Path(app.env.relfn2path(image["uri"])[1])
        copy, figure = drawn.with_name(f"{drawn.stem}-dark.svg"), shorter(drawn.read_text(encoding="utf-8"))
        drawn.write_text(figure, encoding="utf-8")
        copy.write_text(for_dark(figure), encoding="utf-8")
        twin = image.deepcopy()
        twin["uri"] = image["uri"].removesuffix(".svg") + "-dark.svg"
        image["classes"].append("only-light")
        twin["classes"].append("only-dark")
        image.parent.insert(image.parent.index(image) + 1, twin)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx, before it collects the images of a page."""
    app.connect("doctree-read", with_dark_copies, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

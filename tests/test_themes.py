"""Copies of figures for the dark theme: which colours change, and where the copy lies."""

import itertools
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils import nodes

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "book" / "_ext"))
import themes

from book.study.style import PALETTE


@pytest.mark.parametrize(
    ("colour", "dark"),
    [
        ("222222", "e4e4e4"),  # the ink
        ("0072b2", "4da3e0"),
        ("404040", "bfbfbf"),  # another dark grey
        ("000000", "000000"),  # lies on a colour
        ("ffffff", "ffffff"),
        ("b0b0b0", "b0b0b0"),  # light enough
        ("8a4b00", "8a4b00"),  # a colour map's
    ],
)
def test_what_a_colour_becomes(colour: str, dark: str) -> None:
    assert themes.lighter(colour) == dark


def test_every_exchanged_hue_is_the_palettes() -> None:
    assert set(themes.LIGHTER) <= {c.removeprefix("#").lower() for c in PALETTE.values()}


def test_no_two_hues_become_alike() -> None:
    dark = [themes.lighter(colour.removeprefix("#").lower()) for colour in PALETTE.values()]
    levels = [[int(colour[i : i + 2], 16) for i in (0, 2, 4)] for colour in dark]
    assert min(math.dist(*pair) for pair in itertools.combinations(levels, 2)) > 50


def test_only_paint_is_exchanged() -> None:
    svg = '<g id="a222222"><path style="fill: #222222; stroke: #ffffff"/><use xlink:href="#222222"/></g>'
    assert themes.for_dark(svg) == svg.replace("fill: #222222", "fill: #e4e4e4")


def test_places_lose_digits_that_nobody_sees_and_nothing_else_does() -> None:
    svg = '<path id="a1.23456" d="M {} {} L 2 3.4z" transform="scale(0.015625)"/><use x="{}" y="12"/>'
    text = "<text>0.12345</text>"
    assert themes.shorter(svg.format(1.23456, 7.891, 0.98765) + text) == svg.format(1.23, 7.89, 0.98) + text


def test_a_figure_has_no_blanks_for_the_eye() -> None:
    text = "<text>a: b; c</text>"
    assert themes.shorter(f'<g>\n   <use style="fill: #222222; stroke: none"/>{text}</g>') == (
        f'<g>\n<use style="fill:#222222;stroke:none"/>{text}</g>'
    )
    assert themes.for_dark('<use style="fill:#222222"/>') == '<use style="fill:#e4e4e4"/>'


def test_a_drawn_figure_gets_a_twin(tmp_path: Path) -> None:
    (tmp_path / "drawn.svg").write_text('<svg><path d="M 0.125 1" style="stroke: #222222"/></svg>')
    holder = nodes.container(
        "", nodes.image(uri="drawn.svg", alt="A curve."), nodes.image(uri="photo.png", alt="A photograph.")
    )
    app = SimpleNamespace(env=SimpleNamespace(relfn2path=lambda uri: (uri, str(tmp_path / uri))))
    themes.with_dark_copies(app, holder)  # type: ignore[arg-type]
    assert [(i["uri"], i["alt"], i["classes"]) for i in holder.children] == [
        ("drawn.svg", "A curve.", ["only-light"]),
        ("drawn-dark.svg", "A curve.", ["only-dark"]),
        ("photo.png", "A photograph.", []),
    ]
    dark = (tmp_path / "drawn-dark.svg").read_text()
    assert "e4e4e4" in dark and "M 0.12 1" in dark and "M 0.12 1" in (tmp_path / "drawn.svg").read_text()

"""A formula keeps its brackets and its full stop on its line."""

import sys
from pathlib import Path

import pytest
from docutils import nodes

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "book" / "_ext"))
import joined


def paragraph(*parts: str | nodes.Node) -> nodes.paragraph:
    return nodes.paragraph("", "", *[nodes.Text(p) if isinstance(p, str) else p for p in parts])


@pytest.mark.parametrize(
    ("before", "after", "whole"),
    [
        ("of (", ") and", "(N)"),
        ("of ", ". Then", "N."),
        ("(", ", which", "(N,"),
        ("of ", " and", None),
        ("of", "-th", None),
    ],
)
def test_what_touches_a_formula_stays_with_it(before: str, after: str, whole: str | None) -> None:
    line = paragraph(before, nodes.math("", "N"), after)
    text = line.astext()
    joined.join(line)
    assert line.astext() == text
    found = [node.astext() for node in line.findall(nodes.inline)]
    assert found == ([whole] if whole else [])


def test_formulas_in_a_row_and_alone() -> None:
    line = paragraph(
        nodes.math("", "a"), ", ", nodes.math("", "b"), nodes.strong("", "c"), nodes.math("", "d")
    )
    text = line.astext()
    joined.join(line)
    assert line.astext() == text
    assert [node.astext() for node in line.findall(nodes.inline)] == ["a,"]
    assert [node.astext() for node in line.findall(nodes.math)] == ["a", "b", "d"]

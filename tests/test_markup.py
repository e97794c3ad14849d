"""What ``book/_ext/markup.py`` does to tables and signs."""

import pandas as pd
import pytest
from docutils import nodes, utils

from lib.records import ROOT


@pytest.fixture
def markup(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    return pytest.importorskip("markup")


def as_read(markup, html):
    """The HTML of a page that holds only this."""
    tree = utils.new_document("page")
    tree += nodes.raw("", html, format="html")
    markup.with_readable_tables(None, tree, "page")
    return tree.children[0].astext()


def test_no_line_ends_in_an_interval(markup):
    html = pd.DataFrame({"a wide heading": ["−0.01 (−0.025 … 0.0094)"]}).style.to_html()
    cell = as_read(markup, html).split("<td")[1]
    assert "−0.01 (−0.025\u00a0…\u00a00.0094)" in cell, "it may end before the interval"


def test_a_remark_in_brackets_may_break(markup):
    html = pd.DataFrame({"a": ["see (this remark goes on … and on, without an end)"]}).to_html()
    assert "\u00a0" not in as_read(markup, html)


def test_an_outcome_is_on_one_line(markup):
    html = pd.DataFrame({"says": ["came out as predicted"], "outcome": ["as predicted"]}).to_html()
    found = as_read(markup, html)
    assert "<td>as\u00a0predicted</td>" in found and "<td>came out as predicted</td>" in found


def test_tables_of_styler_get_the_class_of_the_others(markup):
    html = as_read(markup, pd.DataFrame({"a": [1]}).style.to_html())
    assert '<table class="dataframe" id="T_' in html


def test_minus_signs_of_numbers_and_no_others(markup):
    html = pd.DataFrame({"a": [-0.5], "b": ["-p m"]}).style.format(precision=1).to_html()
    cells = as_read(markup, html)
    assert ">−0.5<" in cells and ">-p m<" in cells
    bounds = as_read(markup, pd.DataFrame({"declared": ["below -0.1", "-0.2 to -0.1", "m -1"]}).to_html())
    assert all(f"<td>{bound}</td>" in bounds for bound in ("below −0.1", "−0.2 to −0.1", "m -1"))


def test_other_html_is_left_alone(markup):
    html = "<p>1 (0.9 … 1.1)</p>"
    assert as_read(markup, html) == html


def test_the_table_of_execution_has_signs_and_text_keeps_its_emoji(markup):
    tree = utils.new_document("page")
    tree += [nodes.paragraph("", text) for text in ("✅", "❌", "a ✅ inside")]
    markup.without_emoji(None, tree, "page")
    assert [node.astext() for node in tree.children] == ["✓", "✗", "a ✅ inside"]

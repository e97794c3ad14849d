"""Terms in the text: which uses become links; and the box with their meaning, in a browser."""

import sys
from pathlib import Path

import browser
import pytest
from docutils import nodes
from sphinx import addnodes

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "book" / "_ext"))
import course

from book.study.glossary.terms import Term
from lib.records import ROOT

TERMS = [
    Term("token", "A vector.", "fusion", ("tokens",)),
    Term("token merging", "Fewer tokens.", "fusion"),
    Term("ATE", "An error.", "fusion"),
]


def linked(*sentences: str) -> list[tuple[str, str]]:
    """(term, as it stands in the text) of each link, in order."""
    left = {term.term: term for term in TERMS}
    found = []
    for sentence in sentences:
        paragraph = nodes.paragraph("", sentence)
        course.replace_terms(paragraph.children[0], left, "book/page")
        assert paragraph.astext() == sentence, "the words stay as they are"
        found += [(x["reftarget"], x.astext()) for x in paragraph.findall(addnodes.pending_xref)]
    return found


def test_the_first_use_of_each_term_is_linked() -> None:
    assert linked("Some Tokens and tokens.", "A token.") == [("token", "Tokens")]


def test_the_longest_term_wins_and_words_are_whole() -> None:
    assert linked("With token merging, tokenised or not.") == [("token merging", "token merging")]


def test_abbreviations_are_not_everyday_words() -> None:
    assert linked("We ate.", "The ATE is small.") == [("ATE", "ATE")]


@pytest.mark.parametrize("outside", [nodes.title, nodes.literal, nodes.reference, nodes.math])
def test_headings_code_links_and_formulas_are_left_alone(outside: type[nodes.Element]) -> None:
    assert course._in_a_sentence(nodes.paragraph("", "token").children[0])
    inner = outside("", "", nodes.Text("token"))
    nodes.paragraph("", "", inner)
    assert not course._in_a_sentence(inner.children[0])


PAGE = """<!doctype html><html lang="en"><head><title>Terms</title>
<link rel="stylesheet" href="book.css"><script defer src="terms.js"></script></head>
<body><article class="bd-article"><p>A
<a class="to-term" href="#end" title="A vector that stands for one patch of a photograph.">token</a>
and, at the right,
<a class="to-term" style="float: right" href="#end" title="Several vectors become one.">merging</a>.</p>
<p style="height: 3000px" id="end">Glossary</p></article></body></html>"""


@pytest.mark.skipif(browser.chromium() is None, reason="no chromium on the path; apt-get install chromium")
@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_the_meaning_shows_to_mouse_and_keyboard(tmp_path: Path, width: int) -> None:
    (tmp_path / "page.html").write_text(PAGE)
    for name in ("terms.js", "book.css"):
        (tmp_path / name).write_text((ROOT / "book" / "_static" / name).read_text(encoding="utf-8"))
    with browser.served(tmp_path) as base, browser.browser() as opened:
        page = browser.new_page(opened, width, 600)
        page.goto(base + "page.html")
        box, links = page.get_by_role("tooltip"), page.locator("a.to-term")
        assert not box.is_visible()
        links.nth(0).hover()
        assert box.inner_text() == "A vector that stands for one patch of a photograph."
        assert links.nth(0).get_attribute("aria-describedby") == box.get_attribute("id")
        assert links.nth(0).get_attribute("title") is None, "the browser's own box would lie over ours"
        page.keyboard.press("Escape")
        assert not box.is_visible()
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        assert box.inner_text() == "Several vectors become one."
        place = box.bounding_box()
        assert place and place["x"] >= 0 and place["x"] + place["width"] <= width, "it stays on the screen"
        page.keyboard.press("Tab")
        assert not box.is_visible()
        page.mouse.move(5, 500)
        assert page.evaluate("document.documentElement.scrollWidth") <= width

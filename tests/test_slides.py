"""Slides: what of a built page they show, and that a deck can be turned, read and printed."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import browser
import pytest
import small_book
from playwright.sync_api import Page

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "book" / "_ext"))
import slides

FIGURE = """
```{{figure}} {name}.svg
:name: fig-{name}
:alt: A line.

The line {name}. It has a second sentence, which is short.
```
"""
CHAPTER = f"""# Chapter

After this chapter you can

- **read** a deck.

## The question

How long is $x$?
{"".join(FIGURE.format(name=name) for name in "abcd")}
See {{numref}}`fig-d`, {{numref}}`fig-c` and {{numref}}`fig-b`, and again {{numref}}`fig-d`.

:::{{admonition}} The law
:class: important
It is $2y$ long; see [the line](fig-b).
:::

## What was learned

- One thing.
- Another.
"""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 3 2"><path d="M0 0L3 2" stroke="red"/></svg>'
TOC = """format: jb-book
root: book/intro
parts:
- caption: A part
  numbered: true
  chapters: [{file: book/chapter}]
- caption: Others
  chapters: [{file: book/other}]
"""


def paragraphs(count: int) -> str:
    return "".join(f"<p>{'Words that fill a line of a slide. ' * 5}</p>" for _ in range(count))


def page(*sections: str) -> str:
    return f"<html><body><nav>no</nav><article><h1>Name</h1>{''.join(sections)}</article></body></html>"


def read(tmp_path: Path, *sections: str) -> list[slides.Slide]:
    (tmp_path / "page.html").write_text(page(*sections), encoding="utf-8")
    return slides.read(tmp_path / "page.html", "book/page.html").slides


def test_links_and_pictures_are_found_from_a_deck() -> None:
    seen = [slides.seen_from_a_deck(a, "book/runs/one.html") for a in ("#x", "../../_images/a.svg", "b.html")]
    assert seen == ["../book/runs/one.html#x", "../_images/a.svg", "../book/runs/b.html"]
    assert slides.seen_from_a_deck("https://example.org/x", "book/one.html") == "https://example.org/x"


def test_a_chapter_without_a_question_begins_with_what_one_can_do_after_it(tmp_path: Path) -> None:
    banner = "<div><ul><li>Measured with other code.</li></ul></div>"
    first, *_ = read(tmp_path, banner, "<p>After this chapter you can</p><ul><li>read.</li></ul>")
    assert first.body == "<p>After this you can</p><ul><li>read.</li></ul>"
    first, *_ = read(tmp_path, banner, "<p>Begin.</p>")
    assert first.body == "<p>Begin.</p>"


def test_a_picture_keeps_its_place_until_it_is_loaded(tmp_path: Path) -> None:
    caption = '<figcaption><span class="caption-text">A line.</span></figcaption>'
    image = '<img src="../x.svg" width="837" height="729" style="--own: 837px"/>'
    made = read(tmp_path, f'<h2>Look</h2><figure id="fig-x">{image}{caption}</figure>')[-1]
    assert 'width="837"' in made.body and 'height="729"' in made.body and "style" not in made.body


def test_a_verdict_is_name_badge_and_reason(tmp_path: Path) -> None:
    box = (
        '<div class="verdict-box"><p class="verdict-head"><strong>Eq. (1)</strong>'
        '<span class="verdict-place">§3</span><span class="verdict verdict-holds">holds</span></p>'
        "<p><strong>As printed.</strong> No.</p><p><strong>Holds:</strong> by the law.</p></div>"
    )
    last = read(tmp_path, box)[-1]
    assert last.title == "Verdicts"
    assert last.body == (
        '<ul><li><b>Eq. (1)</b> <span class="verdict verdict-holds">holds</span> by the law.</li></ul>'
    )


def test_what_is_too_long_for_a_slide_goes_on_to_the_next(tmp_path: Path) -> None:
    box = f'<div class="important admonition"><p class="admonition-title">Law</p>{paragraphs(14)}</div>'
    _, *made = read(tmp_path, box)
    assert [s.title for s in made] == [f"Law <small>{k} of {len(made)}</small>" for k in (1, 2, 3)]
    counts = [s.body.count("<p>") for s in made]
    assert sum(counts) == 14 and max(counts) - min(counts) <= 1, "about equally full"


def test_a_long_caption_keeps_whole_sentences_and_formulas(tmp_path: Path) -> None:
    caption = f'First <span class="math">\\(x\\)</span> of all. The {"word " * 60}end. Third.'
    figure = (
        '<h2><span class="section-number">1.2. </span>Look<a class="headerlink">#</a></h2><figure id="fig-x">'
        '<img src="../_images/x.svg" alt="X"/><figcaption><p><span class="caption-number">Fig. 1 </span>'
        f'<span class="caption-text">{caption}</span></p></figcaption></figure>'
    )
    made = read(tmp_path, figure)[-1]
    assert made.title == "Look"
    assert made.body.endswith(
        'Fig. 1</a> First <span class="math">\\(x\\)</span> of all.</figcaption></figure>'
    )


def test_scripts_of_formulas_are_those_of_the_page() -> None:
    head = '<script src="../a.js"></script><script>window.MathJax = {"a": 1}</script>'
    head += '<script defer="defer" src="../_static/mathjax/tex.js"></script>'
    head += '<script src="https://example.org/mathjax.js"></script>'
    assert slides.typesetting(head).splitlines() == [
        '<script>window.MathJax = {"a": 1}</script>',
        '<script defer="defer" src="../_static/mathjax/tex.js"></script>',
        '<script src="https://example.org/mathjax.js"></script>',
    ]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """HTML of a small book with one numbered part."""
    book = small_book.make(tmp_path_factory.mktemp("slides"))
    book.write("book/intro.md", "# Intro\n\n```{slides}\n```\n")
    book.write("book/chapter.md", CHAPTER)
    book.write("book/other.md", "# Other\n\nNo slides.\n")
    book.write("book/runs/grid.yml", "[]\n")
    book.write("_toc.yml", TOC)
    for name in "abcd":
        book.write(f"book/{name}.svg", SVG)
    for name in ("slides.py", "slides.html"):
        book.write(f"book/_ext/{name}", (Path(slides.__file__).parent / name).read_text(encoding="utf-8"))
    book.edit("_config.yml", "    markup: book/_ext\n", "    markup: book/_ext\n    slides: book/_ext\n")
    book.edit("_config.yml", "  config:\n", "  config:\n    mathjax_path: mathjax.js\n")
    book.write("book/_static/mathjax.js", "window.MathJax = {startup: {promise: Promise.resolve()}};")
    done = book.build("-W", "-n", "--keep-going")
    assert done.status == 0, done.output[:9000]
    return book.root / "_build" / "html"


@pytest.mark.book
@pytest.mark.slow
def test_a_part_becomes_a_deck_of_its_chapters(built: Path) -> None:
    assert [p.name for p in (built / "slides").iterdir()] == ["a-part.html"], "numbered parts only"
    deck = (built / "slides" / "a-part.html").read_text(encoding="utf-8")
    assert re.findall(r"<h2>(.*?)</h2>", deck) == [
        *("1 · Chapter", "The law"),
        *["The question"] * 3,  # the heading over the figures
        "What was learned",
    ]
    shown = re.findall(r'href="\.\./book/chapter\.html#fig-(\w)">Fig', deck)
    assert shown == ["b", "c", "d"], "those that the text refers to, in the order of the page"
    images = re.findall(r'src="\.\./(_images/[^"]*)"', deck)
    assert len(images) == 3 and all((built / image).is_file() for image in images)
    assert "How long is" in deck and "<li><p>Another.</p></li>" in deck
    assert 'href="../slides/a-part.html"' in (built / "book" / "intro.html").read_text(encoding="utf-8")
    assert "Slides of the part" in (built / "book" / "chapter.html").read_text(encoding="utf-8")


@pytest.fixture
def deck(built: Path) -> Iterator[tuple[Page, list[str]]]:
    """The deck in a browser, and what its console says."""
    if browser.chromium() is None:
        pytest.skip("no chromium on the path, so no deck was turned; apt-get install chromium")
    said: list[str] = []
    with browser.browser() as opened, browser.served(built) as base:
        page = browser.new_page(opened, 1280, 720)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{base}slides/a-part.html")
        page.wait_for_selector("html[data-ready]", state="attached")
        yield page, said


NOW = """() => [...document.querySelectorAll('section')]
  .findIndex(s => Math.abs(s.getBoundingClientRect().top) < 2)"""
OVER = """() => [...document.querySelectorAll('section, .body, h1, h2')].filter(e =>
  e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1).map(e => e.outerHTML)"""


@pytest.mark.book
@pytest.mark.slow
def test_keys_turn_the_slides_and_the_light(deck: tuple[Page, list[str]]) -> None:
    page, said = deck
    seen = []
    for key in ("ArrowRight", "ArrowDown", " ", "ArrowLeft", "PageUp", "End", "ArrowRight", "Home"):
        page.keyboard.press(key)
        seen.append(page.evaluate(NOW))
    assert seen == [1, 2, 3, 2, 1, 6, 6, 0]
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.keyboard.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert said == []


@pytest.mark.book
@pytest.mark.slow
def test_nothing_is_cut_on_a_desk_and_a_telephone_scrolls_down_only(deck: tuple[Page, list[str]]) -> None:
    page, _ = deck
    assert page.evaluate(OVER) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.book
@pytest.mark.slow
def test_printed_each_slide_is_a_page(deck: tuple[Page, list[str]]) -> None:
    page, _ = deck
    printed = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type */Page\b", printed)) == page.locator("section").count() == 7

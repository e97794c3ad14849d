"""The built pages in a browser; and, on a page full of faults, that each kind of fault is seen."""

import importlib.util
from pathlib import Path

import browser
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"

pytestmark = pytest.mark.skipif(
    browser.chromium() is None,
    reason="no chromium on the path, so no page was looked at; apt-get install chromium",
)

# Markup that docutils writes, not our pages: the list of sources has roles that ARIA has since changed. A
# page with pictures. And pages with many formulas, which move the text around them when set: below .2.
FORMULAS = (
    *("corrected_merging", "corrected_theory", "entropy", "equations"),
    *("mean_field", "merging_mean_field"),
)
ACCEPTED = {
    "accessibility": ("aria-deprecated-role (minor)", "aria-required-children (critical): .citation-list"),
    "heavy": ("models.html loads 3.",),  # rendered rooms are pixels
    "shift": tuple(f"{name}.html: layout shifts by 0.1" for name in FORMULAS),
}


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, list[str]]]:
    if not (HTML / "index.html").is_file():
        pytest.skip("the book is not built, so no page was looked at; make book")
    return browser.findings(HTML)


@pytest.mark.book
@pytest.mark.parametrize("kind", browser.KINDS)
def test_pages_have_no_faults(found: dict[str, dict[str, list[str]]], kind: str) -> None:
    accepted = ACCEPTED.get(kind, ())
    ours = {
        page: left
        for page, faults in found[kind].items()
        if (left := [f for f in faults if not any(mark in f for mark in accepted)])
    }
    assert ours == {}


@pytest.mark.book
def test_the_first_page_has_a_figure_to_touch(found: dict[str, dict[str, list[str]]]) -> None:
    """`found` skips without a built book."""
    with browser.browser() as opened, browser.served(HTML) as base:
        page = browser.new_page(opened)
        page.goto(base + "book/intro.html")
        page.wait_for_selector(".living svg .changed", state="attached")
        before = float(page.locator(".living").get_attribute("data-share") or "nan")
        page.locator(".living input[type=checkbox]").last.check()
        assert float(page.locator(".living").get_attribute("data-share") or "nan") > before


# What a reader looks for -> a page that must be among what is found.
SOUGHT = {
    "anchored": "long_sequences",
    "entropy": "entropy",
    "stable rank": "effective_rank",
    "size bias": "corrected_merging",
    "heat map": "heatmaps",
    "FastVGGT": "reconstruction",
    "mean-field": "mean_field",
    "softmax": "linearised_softmax",
    "Chamfer": "reconstruction",
    "projects": "course",
}


@pytest.mark.book
def test_search_finds_ten_terms(found: dict[str, dict[str, list[str]]]) -> None:
    """Typed into the page of the search, in a browser."""
    with browser.browser() as opened, browser.served(HTML) as base:
        page = browser.new_page(opened)
        for term, wanted in SOUGHT.items():
            page.goto(f"{base}search.html?q={term}")
            page.wait_for_selector("#search-results p.search-summary:has-text('found')")
            links = page.locator("#search-results li a").evaluate_all("all => all.map(a => a.href)")
            assert any(f"/book/{wanted}.html" in link for link in links), term


@pytest.mark.book
def test_the_book_travels_lightly() -> None:
    if not (HTML / "index.html").is_file():
        pytest.skip("the book is not built; make book")
    assert sum(path.stat().st_size for path in HTML.rglob("*") if path.is_file()) <= 60e6


FAULTS = r"""<!doctype html><html><head><title>Faults</title>
<script>MathJax = {options: {processHtmlClass: 'math'}}</script>
<script src="mathjax/tex-mml-chtml.js"></script></head><body class="bd-article">
<script>throw new Error("broken script")</script>
<script src="https://example.org/far.js"></script>
<img src="missing.png" alt="A picture"><img src="missing.png" alt="figures/one.png">
<p id="twice"></p><p id="twice"></p>
<a href="#nowhere">dead anchor</a> <a href="other.html">dead page</a>
<p>It is Printed(value=500, unit='frames').</p><p>Row ('printed', 'all').</p><p>An error of 2.2e-09.</p>
<p>Costs $x^2$ and \mathbb{R}.</p>
<div class="math">\(\undefinedmacro\)</div><div class="math">\(\left( x\)</div><div class="math">\(x</div>
<div class="math" style="display: flex; flex-direction: row-reverse; width: 9px">\(a + b + c + d + e\)</div>
<table><tr><td>A sentence that ends too...</td></tr></table>
<div style="width: 3000px">wide</div><p class="scrolls">goes on nowhere</p>
<div style="overflow-x: auto; width: 90px"><div style="width: 200px">more to the right</div></div>
<details><summary>Folded</summary><div style="overflow-x: auto; width: 90px">
<table><tr><td><p style="width: 200px">a table and what lies in it</p></td></tr></table></div></details>
<img src="heavy.svg" alt="A heavy picture" style="width: 9px">
<img src="wide.svg" alt="A wide picture" width="600" height="300" style="max-width: 100%">
<script>
document.body.prepend(document.createElement("section"));
new PerformanceObserver(list => {
  if (list.getEntriesByName("first-contentful-paint").length)
    requestAnimationFrame(() => { document.querySelector("section").style.height = "600px"; });
}).observe({type: "paint", buffered: true});
</script>
</body></html>"""

EXPECTED = {
    "console": "broken script",
    "external": "https://example.org/far.js",
    "http": "404",
    "images": "missing.png",
    "links": "#nowhere",
    "objects": "Printed(value=500",
    "cut": "ends too...",
    "alt": "figures/one.png",
    "ids": "twice",
    "wide": "3",
    "stretched": "wide.svg",
    "small": "wide.svg: 374 of 600 px",
    "unmarked": "more to the right",
    "faded": "goes on nowhere",
    "accessibility": "html-has-lang",
    "heavy": "faults.html loads 3.",
    "shift": "layout shifts by",
    "tables": "px wide: a table and what lies in it",
}


@pytest.mark.slow
def test_every_kind_of_fault_is_seen(tmp_path: Path) -> None:
    specification = importlib.util.find_spec("sphinx-mathjax-offline")
    assert specification and specification.origin
    (tmp_path / "mathjax").symlink_to(Path(specification.origin).parent / "static" / "mathjax")
    (tmp_path / "faults.html").write_text(FAULTS)
    (tmp_path / "heavy.svg").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg"><!--{"." * 2_000_000}--></svg>'
    )
    wide = '<svg xmlns="http://www.w3.org/2000/svg" width="600" height="300"/>'
    (tmp_path / "wide.svg").write_text(wide)
    found = {
        kind: " ".join(faults.get("faults.html", [])) for kind, faults in browser.findings(tmp_path).items()
    }
    assert {kind: mark for kind, mark in EXPECTED.items() if mark not in found[kind]} == {}
    assert "other.html" in found["links"]
    assert "left of its box" in found["wide"] and "px wide in" in found["wide"]
    assert "Row ('printed', 'all')" in found["objects"] and "2.2e-09" in found["objects"]
    for mark in (
        r"raw Costs $x^2$ and \mathbb{R}",
        r"undefined macro in \undefinedmacro",
        r"in \left( x",
        r"not set \(x",
    ):
        assert mark in found["tex"]


def test_pages_that_only_lead_on_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<meta http-equiv="Refresh" content="0; url=a.html">')
    (tmp_path / "a.html").write_text("<p>Here.</p>")
    assert browser.pages(tmp_path) == ["a.html"]


WIDE_BOX = """<div class="bd-article"><figure>
<span class="drawn"><img src="data:," alt="A" style="--own: 787px; width: 100%; height: 9px"></span>
<figcaption>Says.</figcaption></figure></div>"""


def test_boxes_that_scroll_show_where_they_go_on() -> None:
    with browser.figure(WIDE_BOX, "edges", width=browser.NARROW) as page:
        box = page.locator(".drawn")
        page.wait_for_selector(".drawn.goes-on-right:not(.goes-on-left)")
        assert box.get_attribute("tabindex") == "0"  # the keyboard reaches it
        box.evaluate("box => box.scrollTo(1e4, 0)")
        page.wait_for_selector(".drawn.goes-on-left:not(.goes-on-right)")
        page.set_viewport_size({"width": browser.WIDTH, "height": 300})
        page.wait_for_selector(".drawn:not(.scrolls)")


def levels_of_a_table() -> str:
    """A table with three index columns, as the book shows one, too wide for a telephone."""
    index = pd.MultiIndex.from_product(
        [["rotation", "depth"], [8, 32], ["a rule", "another"]], names=["error", "frames", "rule"]
    )
    wide = pd.DataFrame({f"a long name of column {k}": range(8) for k in range(9)}, index=index)
    shown = wide.style.set_table_attributes('class="dataframe"').to_html()
    return f'<div class="bd-article"><div class="cell_output"><div class="output">{shown}</div></div></div>'


def test_on_a_telephone_names_of_rows_stay_and_outer_levels_are_lines() -> None:
    with browser.figure(levels_of_a_table(), "tables", "edges", width=browser.NARROW) as page:
        lines = page.locator(".outer-levels")
        assert lines.all_inner_texts() == [
            *("rotation · frames 8", "rotation · frames 32", "depth · frames 8", "depth · frames 32")
        ]
        assert (
            page.locator("tbody th:visible:not(.outer-levels *)").all_inner_texts()
            == ["a rule", "another"] * 4
        )
        assert page.locator("thead th.stays").all_inner_texts()[-1] == "rule"
        box, name = page.locator(".output"), page.locator("tbody .stays").nth(5)
        page.wait_for_selector(".output.goes-on-right")
        place = name.bounding_box()
        box.evaluate("box => box.scrollTo(1e4, 0)")
        page.wait_for_selector(".output.goes-on-left:not(.goes-on-right)")
        dragged = name.bounding_box()
        assert place is not None and dragged is not None and abs(dragged["x"] - place["x"]) < 9
        page.set_viewport_size({"width": browser.WIDTH, "height": 300})
        page.wait_for_function("document.querySelectorAll('.outer-levels, .folded, .stays').length === 0")
        assert page.locator("tbody th:visible").count() == 2 + 4 + 8

"""Slides for each numbered part of the book, made of its built pages: ``slides/<part>.html`` beside them.

A chapter gives a title with its question, its result boxes, the figures that its text refers to most, its
verdicts and what was learned. Words, numbers and pictures are those of the page; nothing is typed here.
``{slides}`` lists the decks. How a deck looks, and its few lines of script, are in ``slides.html``.
"""

import copy
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from bs4 import BeautifulSoup, NavigableString, SoupStrainer, Tag
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FIGURES = 3  # of a chapter
LINES = 14.5  # of text on a slide
LETTERS = 88  # in a line
SHORT = 5  # lines that are set larger
CAPTION = 260  # letters; the rest of a caption is left to the page
LEARNED = re.compile(r"What was learned")
QUESTION = re.compile(r"The question")
GOALS = re.compile(r"(.*\s)?After this \w+ you can$", re.DOTALL)
SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z])")
UNSEEN = re.compile(r"<(pre|script|style)\b.*?</\1>", re.DOTALL)  # most of a page, and no part of a slide
KEPT = {"href", "src", "alt", "class", "width", "height"}
CLASSES = {"math", "only-light", "only-dark"}


@dataclass
class Slide:
    """A heading and what stands under it, as HTML; `kind` is a class of the style sheet."""

    title: str
    body: str
    kind: str = "text"


@dataclass
class Chapter:
    """What of a built page becomes slides.

    Attributes:
        page: path of its HTML in the book, as ``book/fusion.html``.
        tree: its article.
    """

    page: str
    tree: Tag
    slides: list[Slide] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Its heading with its number, as HTML."""
        return self.clean(self.tree.find("h1"))

    def clean(self, node: Tag | None) -> str:
        """What is inside a node of the page, as HTML for a slide."""
        return clean(copy.copy(node), self.page).decode_contents().strip() if node else ""

    def whole(self, node: Tag) -> str:
        """A node of the page, as HTML for a slide."""
        return str(clean(copy.copy(node), self.page))

    def section(self, heading: re.Pattern[str]) -> Tag | None:
        """The first section with such a heading."""
        found = (h for h in self.tree.find_all("h2") if heading.search(h.get_text()))
        return next((h.parent for h in found), None)


def clean(node: Tag, page: str) -> Tag:
    """A copy of a part of a page without what serves the page only; addresses as seen from a deck."""
    for number in node.select(".section-number"):
        number.replace_with(f"{number.get_text().strip().rstrip('.')} · ")
    while gone := node.select_one(".headerlink, .eqno, details, .cell_input"):
        gone.decompose()
    for tag in node.select("a.to-term, span.term, .pasted-text, span.doc, span.std, span.pre"):
        tag.unwrap()
    for tag in [node, *node.find_all(True)]:
        tag.attrs = {k: v for k, v in tag.attrs.items() if k in KEPT}
        known = [c for c in tag.get("class", []) if c in CLASSES or c.startswith("verdict")]
        tag.attrs.pop("class", None)
        if known:
            tag["class"] = known
        for name in {"href", "src"} & tag.attrs.keys():
            tag[name] = seen_from_a_deck(tag[name], page)
        if tag.name == "img":
            tag["loading"] = "lazy"
    return node


def seen_from_a_deck(address: str, page: str) -> str:
    """An address on a page of the book as it reads in ``slides/``."""
    if re.match(r"[a-z]+:", address):
        return address
    if address.startswith("#"):
        return f"../{page}{address}"
    return posixpath.join("..", posixpath.normpath(posixpath.join(posixpath.dirname(page), address)))


def title_slide(chapter: Chapter) -> Slide:
    """The chapter's name, and its question, or what one can do after it, or its first words."""
    section = chapter.section(QUESTION)
    asked = section.find("p", recursive=False) if section else None
    goals = next(
        (p.find_next_sibling("ul") for p in chapter.tree.find_all("p") if GOALS.match(p.get_text())), None
    )
    if asked is None and goals:
        return Slide(chapter.title, f"<p>After this you can</p>{chapter.whole(goals)}", "title")
    if asked is None:
        paragraphs = chapter.tree.select("h1 ~ p:not([class])")
        asked = next((p for p in paragraphs if "minutes to read" not in p.get_text()), None)
    return Slide(chapter.title, chapter.whole(asked) if asked else "", "title")


def result_slides(chapter: Chapter) -> Iterator[Slide]:
    """Boxes that hold a result."""
    for box in chapter.tree.select("div.admonition.important"):
        name, *blocks = [child for child in box.children if isinstance(child, Tag)]
        yield from packed(chapter.clean(name), [chapter.whole(b) for b in blocks])


def figure_slides(chapter: Chapter) -> Iterator[Slide]:
    """The figures that the text refers to most, in the order of the page."""
    figures = [f for f in chapter.tree.select("figure[id]") if f.find("img") and f.find("figcaption")]
    counts = [len(chapter.tree.select(f'a.reference[href="#{f["id"]}"]')) for f in figures]
    most = sorted(range(len(figures)), key=lambda i: (-counts[i], i))[:FIGURES]
    for figure in (figures[i] for i in sorted(most)):
        heading = figure.find_previous(["h2", "h3"])
        number = figure.select_one(".caption-number")
        name = number.get_text().strip() if number else "Figure"
        link = f'<a href="../{chapter.page}#{figure["id"]}">{name}</a>'
        says = shortened(figure.select_one(".caption-text"))
        images = "".join(chapter.whole(image) for image in figure.find_all("img"))
        caption = f"<figcaption>{link} {chapter.clean(says)}</figcaption>"
        yield Slide(
            named(chapter.clean(heading)), f"<figure><div>{images}</div>{caption}</figure>", "picture"
        )


def shortened(caption: Tag | None) -> Tag | None:
    """The first sentences of a caption, at least one."""
    if caption is None:
        return None
    short, length = copy.copy(caption), 0
    short.clear()
    for child in list(copy.copy(caption).children):
        if not isinstance(child, NavigableString):
            short.append(copy.copy(child))
            continue
        for place, sentence in enumerate(SENTENCE.split(child)):
            if place and length + len(sentence) > CAPTION:
                return short
            short.append(f" {sentence}" if place else str(sentence))
            length += len(sentence)
    return short


def last_slides(chapter: Chapter) -> Iterator[Slide]:
    """The verdicts of a chapter and what was learned, on one slide if it holds both."""
    section = chapter.section(LEARNED)
    items = section.select(":scope > ul > li, :scope > ol > li") if section else []
    learned = [chapter.whole(item) for item in items]
    judged = [verdict(chapter, box) for box in chapter.tree.select("div.verdict-box")]
    if learned and judged and sum(map(lines_of, learned + judged)) < LINES - 1:
        both = f"<ul>{''.join(judged)}</ul><h3>What was learned</h3><ul>{''.join(learned)}</ul>"
        yield Slide("Verdicts", both)
        return
    yield from packed("Verdicts", judged, "ul")
    yield from packed("What was learned", learned, "ul")


def verdict(chapter: Chapter, box: Tag) -> str:
    """One judged claim: its name, its verdict and why."""
    head, *paragraphs = box.find_all("p", recursive=False)
    badge, name = head.select_one("span.verdict"), head.find("strong")
    reason = chapter.clean(paragraphs[-1] if paragraphs else None)
    reason = re.sub(r"^<strong>[^<]*:</strong>\s*", "", reason)
    return f"<li><b>{chapter.clean(name)}</b> {chapter.whole(badge) if badge else ''} {reason}</li>"


def named(heading: str) -> str:
    """A heading of a section without its number."""
    return re.sub(r"^[\d.]+ · ", "", heading)


def lines_of(block: str) -> float:
    """About how many lines a block takes; a formula in TeX is half as long when it is set."""
    if "\\[" in block:
        return 2.5 + 1.2 * block.count(r"\\")
    text = re.sub(r"<[^>]*>", "", block)
    formulas = sum(map(len, re.findall(r"\\\(.*?\\\)", text, re.DOTALL)))
    return max(1, round((len(text) - 0.55 * formulas) / LETTERS + 0.45)) + 0.4


def packed(title: str, blocks: Sequence[str], within: str = "div") -> Iterator[Slide]:
    """As few slides as hold these blocks, about equally full."""
    total = sum(map(lines_of, blocks))
    slides: list[list[str]] = [[]]
    limit = total / max(1, -(-total // LINES)) + 2  # the last is not left with one line
    for block in blocks:
        if slides[-1] and sum(map(lines_of, slides[-1])) + lines_of(block) > min(limit, LINES + 1):
            slides.append([])
        slides[-1].append(block)
    for place, held in enumerate(slides if blocks else [], 1):
        part = f" <small>{place} of {len(slides)}</small>" if len(slides) > 1 else ""
        kind = "text short" if sum(map(lines_of, held)) < SHORT else "text"
        yield Slide(title + part, f"<{within}>{''.join(held)}</{within}>", kind)


def read(path: Path, page: str) -> Chapter:
    """The slides of one built page."""
    text = UNSEEN.sub("", path.read_text(encoding="utf-8"))
    soup = BeautifulSoup(text, "html.parser", parse_only=SoupStrainer("article"))
    article = soup.find("article")
    chapter = Chapter(page, article if isinstance(article, Tag) else soup)
    makers = (result_slides, figure_slides, last_slides)
    chapter.slides = [title_slide(chapter), *(slide for make in makers for slide in make(chapter))]
    return chapter


def deck(title: str, chapters: Sequence[Chapter], head: str) -> str:
    """A whole deck as HTML.

    Args:
        title: of the part.
        head: what typesets formulas, as the pages have it.
    """
    total, number, sections = 1 + sum(len(c.slides) for c in chapters), 1, []
    contents = "".join(f'<li><a href="#{anchor(c)}">{c.title}</a></li>' for c in chapters)
    for chapter in chapters:
        for slide in chapter.slides:
            number += 1
            own = f' id="{anchor(chapter)}"' if slide is chapter.slides[0] else ""
            foot = f'<a href="../{chapter.page}">{chapter.title}</a><span>{number} of {total}</span>'
            sections.append(
                f'<section class="{slide.kind}"{own}><h2>{slide.title}</h2>'
                f'<div class="body">{slide.body}</div><footer>{foot}</footer></section>'
            )
    template = Template((Path(__file__).parent / "slides.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(title), head=head, contents=contents, total=total, slides="\n".join(sections)
    )


def anchor(chapter: Chapter) -> str:
    """Where in its deck a chapter begins."""
    return posixpath.basename(chapter.page).removesuffix(".html")


def typesetting(page: str) -> str:
    """The scripts of a built page that typeset its formulas, for a deck: both lie one folder deep."""
    scripts = re.findall(r"<script[^>]*>(?:window\.MathJax[^<]*)?</script>", page)
    return "\n".join(dict.fromkeys(s for s in scripts if "mathjax" in s.lower()))


def parts(app: Sphinx) -> dict[str, list[str]]:
    """Documents of each part whose chapters are numbered, by its caption."""
    trees = app.config.external_site_map.root.subtrees
    return {tree.caption: tree.files() for tree in trees if tree.caption and tree.numbered}


def file_name(part: str) -> str:
    """Of a deck."""
    return f"{nodes.make_id(part)}.html"


def write(folder: Path, decks: dict[str, Iterable[str]]) -> list[Path]:
    """Write the decks of a built book.

    Args:
        folder: of its HTML.
        decks: documents of each part.
    """
    written = []
    for part, documents in decks.items():
        pages = [f"{name.removesuffix('.md').removesuffix('.ipynb')}.html" for name in documents]
        head = typesetting((folder / pages[0]).read_text(encoding="utf-8"))
        target = folder / "slides" / file_name(part)
        target.parent.mkdir(exist_ok=True)
        target.write_text(deck(part, [read(folder / p, p) for p in pages], head), encoding="utf-8")
        written.append(target)
    return written


def link_to(part: str, page: str, text: str) -> nodes.Node:
    """A link from a page to a deck."""
    return nodes.reference(
        "", text, internal=False, refuri=f"{'../' * page.count('/')}slides/{file_name(part)}"
    )


class Slides(SphinxDirective):
    """``{slides}``: a list of links to the decks."""

    def run(self) -> list[nodes.Node]:
        decks = nodes.bullet_list()
        for part in parts(self.env.app):
            link = link_to(part, self.env.docname, part)
            decks += nodes.list_item("", nodes.paragraph("", "", link))
        return [addnodes.only("", decks, expr="html")]


def with_link(app: Sphinx, tree: nodes.document) -> None:
    """Link the deck of a part on its first page, under the title."""
    page, title = app.env.docname, next(tree.findall(nodes.title), None)
    first = {files[0].rpartition(".")[0] or files[0]: part for part, files in parts(app).items()}
    if page in first and title is not None:
        line = nodes.paragraph("", "", link_to(first[page], page, f"Slides of the part “{first[page]}”"))
        section = title.parent
        section.insert(section.index(title) + 1, addnodes.only("", line, expr="html"))


def on_finished(app: Sphinx, error: Exception | None) -> None:
    """Write the decks after the pages."""
    if error is None and app.builder.name == "html":
        write(Path(app.outdir), parts(app))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx, before the guard judges the build."""
    app.add_directive("slides", Slides)
    app.connect("doctree-read", with_link, priority=650)
    app.connect("build-finished", on_finished, priority=800)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

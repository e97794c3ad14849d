"""HTML that cells leave behind, tables above all, as docutils nodes, for builders that know no HTML."""

import itertools
import re
from collections.abc import Callable, Iterator

from bs4 import BeautifulSoup, Comment
from bs4.element import NavigableString, PageElement, Tag
from docutils import nodes

MATHS = re.compile(r"\\\((.+?)\\\)", re.DOTALL)
MARKS: dict[str, type[nodes.TextElement]] = {
    **{"b": nodes.strong, "strong": nodes.strong, "th": nodes.strong, "summary": nodes.strong},
    **{"em": nodes.emphasis, "i": nodes.emphasis, "code": nodes.literal},
    **{"sub": nodes.subscript, "sup": nodes.superscript},
}
BLOCKS = ("p", "div", "table", "ul", "ol", "details", "figure", "noscript", "section")
UNSEEN = ("style", "script", "head", "title", "iframe", "template")
DRAWN = re.compile(r"<svg.*?</svg>", re.DOTALL)
WIDEST, NARROWEST = 40, 6  # letters that a column is given room for
Picture = Callable[[str], nodes.Node]


def convert(html: str, picture: Picture) -> list[nodes.Node]:
    """What a piece of HTML shows without scripts.

    Args:
        picture: makes a node of the text of an SVG.
    """
    drawn = DRAWN.findall(html)  # kept apart, since parsers of HTML lose the capitals of SVG
    places = map(str, itertools.count())
    emptied = DRAWN.sub(lambda _: f'<svg id="{next(places)}"></svg>', html)
    return list(blocks(BeautifulSoup(emptied, "html.parser"), lambda place: picture(drawn[int(place)])))


def blocks(tag: Tag, picture: Picture) -> Iterator[nodes.Node]:
    """The blocks in a tag; text between them becomes paragraphs."""
    paragraph = nodes.paragraph()
    for child in tag.children:
        made = list(block(child, picture)) if isinstance(child, Tag) else None
        if made is None or not isinstance(child, Tag) or child.name not in (*BLOCKS, "svg", *UNSEEN):
            paragraph += inlines(child)
            continue
        if paragraph.astext().strip():
            yield paragraph
        paragraph = nodes.paragraph()
        yield from made
    if paragraph.astext().strip():
        yield paragraph


def block(tag: Tag, picture: Picture) -> Iterator[nodes.Node]:
    """One block."""
    if tag.name == "table":
        yield table(tag)
    elif tag.name == "svg":
        yield picture(str(tag["id"]))
    elif tag.name in ("ul", "ol"):
        kind = nodes.bullet_list if tag.name == "ul" else nodes.enumerated_list
        items = [nodes.list_item("", *blocks(item, picture)) for item in tag.find_all("li", recursive=False)]
        yield kind("", *items)
    elif tag.name in BLOCKS:
        yield from blocks(tag, picture)


def inlines(element: PageElement) -> list[nodes.Node]:
    """Running text with its marks, formulas and links."""
    if isinstance(element, Comment):
        return []
    if isinstance(element, NavigableString):
        return text(str(element))
    if not isinstance(element, Tag) or element.name in UNSEEN:
        return []
    inside = [node for child in element.children for node in inlines(child)]
    if element.name == "br":
        return [nodes.Text(" ")]
    if element.name in MARKS and element.name != "th":
        return [MARKS[element.name]("", "", *inside)]
    address = str(element.get("href", ""))
    if element.name == "a" and address.startswith("http"):
        return [nodes.reference("", "", *inside, refuri=address)]
    return inside


def text(said: str) -> list[nodes.Node]:
    r"""Plain text; what stands between ``\(`` and ``\)`` is a formula."""
    parts = MATHS.split(re.sub(r"\s+", " ", said))
    return [nodes.math("", part) if k % 2 else nodes.Text(part) for k, part in enumerate(parts) if part]


def table(tag: Tag) -> nodes.table:
    """A table with its heads, and cells that span columns or rows."""
    rows = [(row, row.find_parent("thead") is not None) for row in tag.find_all("tr")]
    heads = in_one([nodes.row("", *cells(row)) for row, head in rows if head])
    bodies = [nodes.row("", *cells(row)) for row, head in rows if not head]
    columns = max((width(row) for row, _ in rows), default=1)
    group = nodes.tgroup("", cols=columns)
    group += [nodes.colspec("", colwidth=room) for room in rooms(heads + bodies, columns)]
    if heads and bodies:
        group += nodes.thead("", *heads)
    group += nodes.tbody("", *(bodies or heads))
    title = tag.find("caption")
    named = (
        [nodes.title("", "", *inlines(title))] if isinstance(title, Tag) and title.get_text().strip() else []
    )
    return nodes.table("", *named, group, classes=["from-html"])


def in_one(heads: list[nodes.row]) -> list[nodes.row]:
    """Two heads of which no column needs both, as pandas names an index below its columns, as one."""
    if len(heads) != 2 or len(heads[0].children) != len(heads[1].children):
        return heads
    pairs = list(zip(heads[0].children, heads[1].children, strict=True))
    if any(cell.attributes.get("morecols") for pair in pairs for cell in pair):
        return heads
    if any(above.astext().strip() and below.astext().strip() for above, below in pairs):
        return heads
    return [nodes.row("", *(above if above.astext().strip() else below for above, below in pairs))]


def rooms(rows: list[nodes.row], columns: int) -> list[int]:
    """Letters that each column needs, by its longest cell in rows that span nothing."""
    plain = [row for row in rows if len(row.children) == columns]
    found = [max((len(row.children[k].astext()) for row in plain), default=0) for k in range(columns)]
    return [min(max(letters, NARROWEST), WIDEST) for letters in found]


def span(cell: Tag, name: str) -> int:
    """How many columns or rows a cell takes."""
    return int(str(cell.get(name, 1)))


def width(row: Tag) -> int:
    """Columns that the cells of a row take."""
    return sum(span(cell, "colspan") for cell in row.find_all(["td", "th"], recursive=False))


def cells(row: Tag) -> Iterator[nodes.entry]:
    """The cells of a row."""
    for cell in row.find_all(["td", "th"], recursive=False):
        inside = [node for child in cell.children for node in inlines(child)]
        entry = nodes.entry("", nodes.paragraph("", "", *inside))
        if (across := span(cell, "colspan")) > 1:
            entry["morecols"] = across - 1
        if (down := span(cell, "rowspan")) > 1:
            entry["morerows"] = down - 1
        yield entry

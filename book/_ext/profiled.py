"""What a page of another profile says at its top: model, scenes, device, and what the text got wrong here.

Paragraphs of which no number was measured are folded away.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import captions
import gaps
from docutils import nodes
from sphinx.application import Sphinx

SHIPPED = "shipped"  # class of figures of what ships: rooms, weights and their records
FOLDED = '<details class="not-measured"><summary>{} Of the shipped book it says:</summary>'
CHECK = re.compile(r"<p>[✓✗] ")  # a line of a check: its words are those of the shipped book
PRINTED = "cell_code_output"  # nb_element of what a cell has printed
TEXT = re.compile(r"(?<=>)[^<>]+(?=<)")  # between the tags of a table
NOTHING, NOT_ALL = "Not measured here.", "Not all of this was measured here."
GAP = 'class="not-measured"'  # of the box in the place of a figure


def line(title: str, items: list[str]) -> list[nodes.Node]:
    """A sentence and its list; nothing where the list is empty."""
    if not items:
        return []
    listed = [nodes.list_item("", nodes.paragraph("", item)) for item in dict.fromkeys(items)]
    return [nodes.paragraph("", title), nodes.bullet_list("", *listed)]


def about(app: Sphinx, page: Any) -> list[nodes.Node]:
    """The content of the box for one page."""
    profile: Any = app.book_profile  # type: ignore[attr-defined]
    if page.left:
        said = f"Not executed in this profile: {page.left}. Its numbers and figures are in the shipped book."
        return [nodes.paragraph("", said)]
    if page.as_shipped:
        said = "This page is that of the shipped book: it is about the networks that come with it."
        return [nodes.paragraph("", said)]
    if not page.about["follows"]:
        missing = line("Not measured here; what rests on it is missing:", page.about["gaps"])
        nothing = "Nothing else" if missing else "Nothing"
        return [*missing, nodes.paragraph("", f"{nothing} on this page depends on the profile.")]
    networks = ", ".join(f"{role}: {model}" for role, model in profile.networks.items())
    first = (
        f"Measured on: {networks}. Scenes: {profile.scenes_are}. Device: {profile.device}, {profile.dtype}. "
        "Numbers, figures and verdicts are of these; sentences without one were written for the shipped book."
    )
    said: list[tuple[str, bool]] = page.about["said"]
    found: list[nodes.Node] = [nodes.paragraph("", first)]
    if same := same_walks(profile):
        found.append(nodes.paragraph("", same))
    if profile.words:
        called = "; ".join(f"{old}: {new}" for old, new in profile.words.items())
        found.append(nodes.paragraph("", f"Instead of what the text names there is here: {called}."))
    found += line("Numbers that the text names and that are others here:", other_numbers(profile))
    found += line("Not measured here; what rests on it is missing:", page.about["gaps"])
    found += line("Said of the shipped book; here it does not hold:", [s for s, holds in said if not holds])
    return found + line("Said of the shipped book; it holds here:", [s for s, holds in said if holds])


def measured(app: Sphinx) -> list[nodes.Node]:
    """For the first page: which runs this profile has, and which not, and why."""
    from book.plan import left_out
    from lib import sweep

    jobs = app.book_runs  # type: ignore[attr-defined]
    lacking = Counter(notebook_of(job) for job in sweep.missing(jobs))
    asked = sorted(Counter(map(notebook_of, jobs)).items())
    rows = [f"{name}: {count - lacking[name]} of {count}" for name, count in asked]
    reasons = [f"{count} runs: {reason}" for reason, count in left_out().items()]
    if not app.book_profile.beforehand:  # type: ignore[attr-defined]
        reasons.append("what the shipped book measured beforehand: longer walks, other networks, fresh rooms")
    return line("Measured in this profile, runs of each notebook:", rows) + line("Not measured:", reasons)


def notebook_of(job: Any) -> str:
    """The name of the notebook of a run."""
    return Path(job.origin.experiment).stem


def fold(tree: nodes.document) -> None:
    """Put what shows results that were not measured into closed boxes; those in a row share one."""
    foldable = tree.findall(lambda node: isinstance(node, nodes.paragraph | nodes.bullet_list | nodes.table))
    parents = dict.fromkeys(node.parent for node in foldable)
    for parent in parents:
        if isinstance(parent, nodes.section | nodes.Admonition | nodes.block_quote):
            parent[:] = list(_folded([part for child in parent.children for part in _parted(child)]))


def _parted(node: nodes.Node) -> list[nodes.Node]:
    """A list of bullets as two where it has some of which all was measured: those, and the others."""
    if not isinstance(node, nodes.bullet_list):
        return [node]
    whole = [item for item in node.children if not _lacks(item)]
    rest = [item for item in node.children if _lacks(item)]
    return [type(node)("", *items, **node.attributes) for items in (whole, rest) if items]


def _folded(children: list[nodes.Node]) -> Iterator[nodes.Node]:
    for lacking, nodes_of in groupby(children, _is_folded):
        group = list(nodes_of)
        if lacking:
            said = (
                NOTHING
                if all(all(gaps.ABSENT in text for text in pasted(node)) for node in group)
                else NOT_ALL
            )
            yield nodes.raw("", FOLDED.format(said), format="html")
        yield from group
        if lacking:
            yield nodes.raw("", "</details>", format="html")


def pasted(node: nodes.Element) -> list[str]:
    """What cells have given to the text of a node."""
    return [part.astext() for part in node.findall(nodes.inline) if "pasted-text" in part["classes"]]


def _lacks(node: nodes.Element) -> bool:
    return any(gaps.ABSENT in text for text in pasted(node))


def _is_folded(node: nodes.Node) -> bool:
    """A paragraph or list that shows something that was not measured, or a table that shows nothing else."""
    if isinstance(node, nodes.table):
        return _lacks(node) and all(gaps.ABSENT in text for text in pasted(node))
    return isinstance(node, nodes.paragraph | nodes.bullet_list | nodes.enumerated_list) and _lacks(node)


def unbracket(tree: nodes.document) -> None:
    """Within brackets what is absent is named without brackets of its own."""
    for block in tree.findall(nodes.TextElement):
        depth = 0
        for child in block.children:
            text = child.astext()
            if (
                gaps.ABSENT in text
                and depth > 0
                and "pasted-text" in getattr(child, "attributes", {}).get("classes", [])
            ):
                child[:] = [nodes.Text(text.replace(gaps.ABSENT, gaps.ABSENT.strip("()")))]
            elif isinstance(child, nodes.Text):
                depth += text.count("(") - text.count(")")


def same_walks(profile: Any) -> str:
    """Which walks that the text tells apart are the same scenes here; nothing where none are."""
    kinds: dict[str, list[str]] = {}
    for kind, (several, _) in profile.walks.items():
        kinds.setdefault(several, []).append(kind)
    alike = [" and ".join(names) for names in kinds.values() if len(names) > 1]
    return (
        f"The same scenes stand here for {'; for '.join(alike)}: a comparison of these says nothing."
        if alike
        else ""
    )


def renamed(tree: nodes.document, profile: Any) -> None:
    """Captions say how many scenes, frames and seeds, and name network and device, as they are here.

    Not those of figures of class `SHIPPED`, which show the same in every profile; nor those of figures that
    are not there.
    """
    for caption in tree.findall(nodes.caption):
        if SHIPPED in caption.parent.get("classes", []) or is_gap(caption.parent):
            continue
        for part in dict.fromkeys(text.parent for text in caption.findall(nodes.Text)):
            part[:] = list(_renamed(part.children, profile))


def is_gap(figure: nodes.Element) -> bool:
    """Whether the figure is a box that says why it is not there."""
    return any(GAP in raw.astext() for raw in figure.findall(nodes.raw))


def without_figure(tree: nodes.document) -> None:
    """The caption of a figure that is not there is that of the shipped book, and says so."""
    for caption in tree.findall(nodes.caption):
        if is_gap(caption.parent):
            caption.insert(0, nodes.Text("In the shipped book: "))


def _renamed(children: list[nodes.Node], profile: Any) -> Iterator[nodes.Node]:
    """Texts in a row are one: the source breaks lines between a number and its unit."""
    for are_text, group in groupby(children, lambda child: isinstance(child, nodes.Text)):
        if are_text:
            yield nodes.Text(captions.here("".join(text.astext() for text in group), profile))
        else:
            yield from group


def spoken(tree: nodes.document, profile: Any) -> None:
    """Paragraphs with results, and what cells have printed, call things what they are here.

    Typed numbers of a paragraph follow, too; what a cell has given is a number of this profile already. A
    page with figures of what ships speaks of that, and stays.
    """
    if any(SHIPPED in figure["classes"] for figure in tree.findall(nodes.figure)):
        return
    for paragraph in tree.findall(nodes.paragraph):
        if pasted(paragraph):
            for text in list(paragraph.findall(nodes.Text)):
                if not isinstance(text.parent, nodes.literal | nodes.math | nodes.reference):
                    given = "pasted-text" in text.parent.get("classes", [])
                    said = captions.in_words(text, profile) if given else captions.here(text, profile)
                    text.parent.replace(text, nodes.Text(said))
    for cell in tree.findall(
        lambda node: node.get("nb_element") == PRINTED if isinstance(node, nodes.Element) else False
    ):
        for text in list(cell.findall(nodes.Text)):
            if isinstance(text.parent, nodes.paragraph | nodes.strong | nodes.emphasis):
                text.parent.replace(text, nodes.Text(captions.in_words(text, profile)))
    for raw in tree.findall(nodes.raw):
        if "<script" not in raw.astext() and GAP not in raw.astext():
            said = captions.here if CHECK.match(raw.astext()) else captions.in_words
            raw[:] = [nodes.Text(TEXT.sub(lambda found, said=said: said(found[0], profile), raw.astext()))]


def other_numbers(profile: Any) -> list[str]:
    """What stands for numbers that the text names, where it is another: one line a kind."""
    kinds = {"frames": profile.lengths, "m": profile.strengths, "seeds": profile.seeds}
    others = {
        kind: [f"{old} → {new}" for old, new in table.items() if old != new] for kind, table in kinds.items()
    }
    return [f"{kind}: {', '.join(pairs)}" for kind, pairs in others.items() if pairs]


def on_read(app: Sphinx, tree: nodes.document) -> None:
    """Put the box under the title of a page."""
    pages: dict[str, Any] = getattr(app, "book_pages", {})
    page = pages.get(app.env.docname)
    title = next(iter(tree.findall(nodes.title)), None)
    if app.book_profile.shipped or page is None or not page.code or title is None:  # type: ignore[attr-defined]
        return
    heading = nodes.title("", f"Profile: {app.book_profile.title}")  # type: ignore[attr-defined]
    if page.about["follows"] and not page.as_shipped:
        renamed(tree, app.book_profile)  # type: ignore[attr-defined]
        spoken(tree, app.book_profile)  # type: ignore[attr-defined]
    without_figure(tree)
    first = measured(app) if app.env.docname == app.config.root_doc else []
    note = nodes.admonition("", heading, *about(app, page), *first, classes=["profile"])
    fold(tree)
    unbracket(tree)
    title.parent.insert(title.parent.index(title) + 1, note)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("doctree-read", on_read)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}

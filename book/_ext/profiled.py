"""What a page of another profile says at its top: model, scenes, device, and what the text got wrong here.

Paragraphs of which no number was measured are folded away.
"""

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
FOLDED = '<details class="not-measured"><summary>Not measured here. Of the shipped book it says:</summary>'


def line(title: str, items: list[str]) -> list[nodes.Node]:
    """A sentence and its list; nothing where the list is empty."""
    if not items:
        return []
    listed = [nodes.list_item("", nodes.paragraph("", item)) for item in items]
    return [nodes.paragraph("", title), nodes.bullet_list("", *listed)]


def about(app: Sphinx, page: Any) -> list[nodes.Node]:
    """The content of the box for one page."""
    profile: Any = app.book_profile  # type: ignore[attr-defined]
    if page.left:
        said = f"Not executed in this profile: {page.left}. Its numbers and figures are in the shipped book."
        return [nodes.paragraph("", said)]
    if not page.about["follows"]:
        return [nodes.paragraph("", "Nothing on this page depends on the profile.")]
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
    """Put what shows results, of which none was measured, into closed boxes; those in a row share one."""
    foldable = tree.findall(lambda node: isinstance(node, nodes.paragraph | nodes.bullet_list | nodes.table))
    parents = dict.fromkeys(node.parent for node in foldable)
    for parent in parents:
        if isinstance(parent, nodes.section | nodes.Admonition):
            parent[:] = list(_folded(parent.children))


def _folded(children: list[nodes.Node]) -> Iterator[nodes.Node]:
    for empty, group in groupby(children, _without_numbers):
        if empty:
            yield nodes.raw("", FOLDED, format="html")
        yield from group
        if empty:
            yield nodes.raw("", "</details>", format="html")


def _without_numbers(node: nodes.Node) -> bool:
    """A paragraph, list or table that shows results, and none was measured."""
    if not isinstance(node, nodes.paragraph | nodes.bullet_list | nodes.enumerated_list | nodes.table):
        return False
    shown = [part.astext() for part in node.findall(nodes.inline) if "pasted-text" in part["classes"]]
    return bool(shown) and all(gaps.ABSENT in text for text in shown)


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

    Not those of figures of class `SHIPPED`, which show the same in every profile.
    """
    for caption in tree.findall(nodes.caption):
        if SHIPPED in caption.parent.get("classes", []):
            continue
        for part in dict.fromkeys(text.parent for text in caption.findall(nodes.Text)):
            part[:] = list(_renamed(part.children, profile))


def _renamed(children: list[nodes.Node], profile: Any) -> Iterator[nodes.Node]:
    """Texts in a row are one: the source breaks lines between a number and its unit."""
    for are_text, group in groupby(children, lambda child: isinstance(child, nodes.Text)):
        if are_text:
            yield nodes.Text(captions.here("".join(text.astext() for text in group), profile))
        else:
            yield from group


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
    if page.about["follows"]:
        renamed(tree, app.book_profile)  # type: ignore[attr-defined]
    first = measured(app) if app.env.docname == app.config.root_doc else []
    note = nodes.admonition("", heading, *about(app, page), *first, classes=["profile"])
    fold(tree)
    title.parent.insert(title.parent.index(title) + 1, note)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("doctree-read", on_read)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}

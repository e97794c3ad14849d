"""What a page of another profile says at its top: model, scenes, device, and what the text got wrong here."""

from typing import Any

import captions
from docutils import nodes
from sphinx.application import Sphinx


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
    found += line("Numbers that the text names and that are others here:", other_numbers(profile))
    found += line("Said of the shipped book; here it does not hold:", [s for s, holds in said if not holds])
    return found + line("Said of the shipped book; it holds here:", [s for s, holds in said if holds])


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
    """Captions say how many scenes, frames and seeds, and name network and device, as they are here."""
    for text in [text for caption in tree.findall(nodes.caption) for text in caption.findall(nodes.Text)]:
        text.parent.replace(text, nodes.Text(captions.here(text.astext(), profile)))


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
    note = nodes.admonition("", heading, *about(app, page), classes=["profile"])
    title.parent.insert(title.parent.index(title) + 1, note)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("doctree-read", on_read)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}

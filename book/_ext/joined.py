"""No line breaks between a formula and the punctuation or bracket that belongs to it."""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

OPENING = re.compile(r"[(\[“‘]+$")
CLOSING = re.compile(r"^[.,;:!?)\]’”%…]+")


def join(tree: nodes.Node) -> None:
    """Wrap each inline formula with what touches it, in a node of class ``unbroken``."""
    for formula in list(tree.findall(nodes.math)):
        parent, place = formula.parent, formula.parent.index(formula)
        before, after = (
            parent[k] if 0 <= k < len(parent) and isinstance(parent[k], nodes.Text) else nodes.Text("")
            for k in (place - 1, place + 1)
        )
        opening, closing = OPENING.search(before), CLOSING.search(after)
        if not (opening or closing):
            continue
        whole = nodes.inline("", classes=["unbroken"])
        parent[place] = whole
        if opening:
            parent[place - 1] = nodes.Text(before[: opening.start()])
            whole += nodes.Text(opening[0])
        whole += formula
        if closing:
            parent[place + 1] = nodes.Text(after[closing.end() :])
            whole += nodes.Text(closing[0])


def on_page(app: Sphinx, tree: nodes.document, _: str) -> None:
    """For pages in a browser; TeX does so by itself."""
    if app.builder.format == "html":
        join(tree)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx, after the ledger has filled its slots."""
    app.connect("doctree-resolved", on_page, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

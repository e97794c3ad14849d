"""Mends what the tools write into pages: scripts, ids that occur twice, tables without a class, emoji."""

import re
from collections import Counter
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

MINUS = re.compile(r"(?:(?<=>)|(?<=below )|(?<=above )|(?<=\d to ))-(?=\d)")
INTERVAL = re.compile(r"\([^()<>]{1,16} … [^()<>]{1,16}\)")  # (0.1 … 0.3)
WORDS = {"✅": "✓", "❌": "✗"}  # of the table of execution: emoji that few fonts have, and signs that most do
REPEATED = {"exercise-content", "solution-content", "proof-content", "proof"}


def with_unique_ids(app: Sphinx, tree: nodes.document, page: str) -> None:
    """Number the ids that sphinx-exercise and sphinx-proof give to every exercise and proof of a page."""
    seen: Counter[str] = Counter()
    for node in tree.findall(nodes.Element):
        for place, name in enumerate(node.get("ids", [])):
            if name in REPEATED:
                seen[name] += 1
                node["ids"][place] = f"{name}-{seen[name]}"


def without_thebe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Drop Thebe's scripts: jupyter-book emits them twice, which is a syntax error on every page."""
    kept, seen = [], set()
    for script in context.get("script_files", []):
        attributes = getattr(script, "attributes", {})
        name, body = str(getattr(script, "filename", script)), attributes.get("body", "") or ""
        if "THEBE_JS_URL" in body or name.endswith("sphinx-thebe.js") or (name, body) in seen:
            continue
        seen.add((name, body))
        kept.append(script)
    context["script_files"] = kept


def with_readable_tables(app: Sphinx, tree: nodes.document, page: str) -> None:
    """Styler's tables get the class that the theme knows others by; minus signs, unbroken words."""
    for node in list(tree.findall(nodes.raw)):
        if "<table" in node.astext():
            text = node.astext().replace('<table id="T_', '<table class="dataframe" id="T_')
            text = MINUS.sub("−", text)
            text = INTERVAL.sub(lambda found: found[0].replace(" ", "\u00a0"), text)
            text = text.replace(">as predicted<", ">as\u00a0predicted<")
            node.replace_self(nodes.raw(node.rawsource, text, **node.attributes))


def without_emoji(app: Sphinx, tree: nodes.document, page: str) -> None:
    """Whether a page ran well, in signs that take the colour of the text."""
    for text in list(tree.findall(nodes.Text)):
        if text.astext() in WORDS:
            text.parent.replace(text, nodes.Text(WORDS[text.astext()]))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("html-page-context", without_thebe, priority=900)
    app.connect("doctree-resolved", with_unique_ids)
    app.connect("doctree-resolved", with_readable_tables)
    app.connect("doctree-resolved", without_emoji)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

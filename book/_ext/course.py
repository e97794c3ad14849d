"""The course: marks under exercises, terms that say what they mean, what a page needs, the course itself.

Under each exercise: its difficulty, what it takes for granted and what to hand in. The first use of a term of
the glossary on a page becomes a link whose title is its meaning; ``terms.js`` shows it in a box.
``{course} ten`` (or another of `KINDS`) and ``{terms}`` write the pages of the course and the glossary.
"""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

KINDS = ("difficulty", "chapters", "four", "ten", "laboratory")
GLOSSARY = "book/glossary"
PLAIN = {"book/glossary", "book/course", "book/notation", "book/api", "book/status", "book/bibliography"}
# What a term is not looked for in: text that is no sentence, or that is a link already.
OUTSIDE = (
    *(nodes.title, nodes.caption, nodes.reference, nodes.literal, nodes.literal_block, nodes.raw, nodes.math),
    *(
        nodes.math_block,
        nodes.rubric,
        nodes.term,
        nodes.table,
        nodes.comment,
        addnodes.pending_xref,
        nodes.target,
    ),
)


class Written(SphinxDirective):
    """A directive whose text is written by a module of ``book/study``."""

    def parse(self, text: str) -> list[nodes.Node]:
        """MyST text, parsed where the directive stands; the page is read again in every build."""
        self.env.note_reread()
        holder = nodes.Element()
        self.state.nested_parse(StringList(text.splitlines(), self.env.docname), self.content_offset, holder)
        return holder.children


class Course(Written):
    """``{course} kind``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        from book.study.course import syllabus

        kind = directives.choice(self.arguments[0], KINDS)
        if kind == "laboratory":
            return self.parse(syllabus.laboratory(Path(self.env.srcdir)))
        return self.parse(syllabus.sessions(kind) if kind in ("four", "ten") else getattr(syllabus, kind)())


class Terms(Written):
    """``{terms}``: the glossary."""

    def run(self) -> list[nodes.Node]:
        from book.study.glossary import terms

        return self.parse(terms.page())


def link(page: str, kind: str, target: str, text: str = "") -> nodes.Node:
    """A reference that Sphinx resolves: ``kind`` is "doc" or "term"."""
    shown = nodes.inline("", text, classes=["term"] if kind == "term" else [])
    return addnodes.pending_xref(
        "",
        shown,
        refdoc=page,
        refdomain="std",
        reftype=kind,
        reftarget=target,
        refexplicit=bool(text),
        refwarn=True,
    )


def with_marks(app: Sphinx, tree: nodes.document) -> None:
    """Write under each exercise how hard it is, what it needs, and what to hand in."""
    from book.study.course import syllabus

    page = app.env.docname
    sheet = syllabus.sheet(page.removeprefix("book/"))
    for block in tree.findall(nodes.Element) if sheet else []:
        if not str(block.get("type", "")).startswith("exercise") or block.get("label") not in sheet.exercises:
            continue
        entry = sheet.exercises[block["label"]]
        line = nodes.paragraph("", classes=["exercise-mark"])
        line += nodes.inline("", syllabus.marks(entry.level), classes=["level"])
        line += nodes.Text(f" difficulty {entry.level} of 3. Needs: ")
        for place, term in enumerate(entry.needs):
            line += [nodes.Text(", " if place else ""), link(page, "term", term, term)]
        if entry.checked:
            given = "".join(f", {name}={name}" for name in entry.example)
            line += [
                nodes.Text(f". Hand in {entry.answer}: "),
                nodes.literal("", f'check("{entry.name}", …{given})'),
            ]
        (block.children[-1] if len(block.children) > 1 else block).append(line)


def with_prerequisites(app: Sphinx, tree: nodes.document) -> None:
    """Say at the head of a chapter which others it takes for granted."""
    from book.study.course import syllabus

    page = app.env.docname
    needed = syllabus.read()[0].get(page.removeprefix("book/"))
    title = next(tree.findall(nodes.title), None)
    if not needed or title is None:
        return
    line = nodes.paragraph("", "Takes for granted: ", classes=["takes-for-granted"])
    for place, name in enumerate(needed):
        line += [nodes.Text(", " if place else ""), link(page, "doc", f"/book/{name}")]
    line += nodes.Text(".")
    section = title.parent
    after = 2 if len(section.children) > 1 and isinstance(section.children[1], nodes.paragraph) else 1
    section.insert(after, line)


def with_terms(app: Sphinx, tree: nodes.document) -> None:
    """Link the first use of each term in the sentences of a page."""
    from book.study.glossary import terms

    page = app.env.docname
    if page in PLAIN or not page.startswith("book/"):
        return
    app.env.note_dependency(str(terms.FILE))
    left = {t.term: t for t in terms.terms() if not t.only or page.removeprefix("book/") in t.only}
    for text in list(tree.findall(nodes.Text)):
        if _in_a_sentence(text) and left:
            replace_terms(text, left, page)


def _in_a_sentence(text: nodes.Text) -> bool:
    node, inside = text.parent, False
    while node is not None:
        if isinstance(node, OUTSIDE) or "exercise-mark" in node.get("classes", ()):
            return False
        inside = inside or isinstance(node, nodes.paragraph)
        node = node.parent
    return inside


def replace_terms(text: nodes.Text, left: dict[str, Any], page: str) -> None:
    """Put links into one text for the terms that are left, and take these from ``left``."""
    spelled = {s.lower(): t.term for t in left.values() for s in t.spellings}
    longest = sorted(map(re.escape, spelled), key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(longest)})(?![\w-])", re.IGNORECASE)
    parts: list[nodes.Node] = []
    begin, source = 0, text.astext()
    for found in pattern.finditer(source):
        term = spelled[found[0].lower()]
        if term in left and (not term.isupper() or found[0].isupper()):
            parts += [nodes.Text(source[begin : found.start()]), link(page, "term", term, found[0])]
            begin = found.end()
            del left[term]
    if parts:
        parent = text.parent
        parent.replace(text, [*parts, nodes.Text(source[begin:])])


def with_meanings(app: Sphinx, tree: nodes.document, page: str) -> None:
    """Give each link to the glossary the meaning as its title."""
    from book.study.glossary import terms

    if page == GLOSSARY:
        return
    meaning = {f"#term-{nodes.make_id(t.term)}": t.says for t in terms.terms()}
    for shown in [node for node in tree.findall(nodes.inline) if "term" in node["classes"]]:
        reference = shown.parent
        while reference is not None and not isinstance(reference, nodes.reference):
            reference = reference.parent
        if reference is not None:
            anchor = reference["refuri"].partition("#")[2].removeprefix("term-")
            reference["reftitle"] = meaning[f"#term-{nodes.make_id(anchor)}"]
            reference["classes"].append("to-term")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives and the hooks; marks and prerequisites before terms."""
    app.add_directive("course", Course)
    app.add_directive("terms", Terms)
    app.add_js_file("terms.js", loading_method="defer")
    app.connect("doctree-read", with_marks, priority=600)
    app.connect("doctree-read", with_prerequisites, priority=610)
    app.connect("doctree-read", with_terms, priority=620)
    app.connect("doctree-resolved", with_meanings)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

"""Directives that draw verdicts from the checks that the chapters ran in this build.

``{verdict-box} eq-4`` (a claim, or the slug of a chapter for all of its claims), ``{ledger}``,
``{ledger-summary}``, ``{verdict-words}``, ``{family-rule}``, ``{equation-index}`` and
``{printed-equation} 4``. What is static is parsed where the directive stands; what depends on checks is a
:class:`verdict_slot`, filled in after all pages have been read. A check that did not run or failed, or a
verdict other than the pinned one, is a warning, and warnings fail the build.
"""

import functools
import importlib
import os
import re
from pathlib import Path
from typing import Any

import verdict_nodes as draw
from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

log = logging.getLogger(__name__)

OPENED = re.compile(r"""open_chapter\(\s*\\?["'](\w+)\\?["']\s*\)""")


class verdict_slot(nodes.General, nodes.Element):
    """Place for what the checks decide: ``kind`` is "badge", "reach", "checks", "chapter" or "summary"."""


def load_register(env: BuildEnvironment) -> Any:
    """The register named by the option ``ledger_register`` ("module:function")."""
    module, _, function = env.config.ledger_register.partition(":")
    return getattr(importlib.import_module(module), function)()


def outcomes_folder() -> Path:
    """Where the chapters of this build leave their outcomes."""
    return Path(os.environ["BOOK_STATE"]) / "checks"


def read_outcomes() -> dict[str, Any]:
    """Outcomes of this build, by check id."""
    from book.study.verdicts import read_outcomes as read

    return read(outcomes_folder())


class LedgerDirective(SphinxDirective):
    """What the directives share: parsing MyST text, slots, and a note of the page that uses them."""

    def parse(self, text: str) -> list[nodes.Node]:
        holder = nodes.Element()
        self.state.nested_parse(StringList(text.splitlines(), self.env.docname), self.content_offset, holder)
        return holder.children

    def reads(self, *chapters: str) -> None:
        """Have Sphinx read this page again when what these chapters claim, or what is printed, changes."""
        from book.study.paper import printed as paper
        from book.study.verdicts.claims import STUDY

        for path in (paper.FILE, *(STUDY / chapter / "claims.yml" for chapter in chapters)):
            if path.is_file():
                self.env.note_dependency(str(path))

    def slot(self, kind: str, claim: str = "") -> verdict_slot:
        pages: dict[str, set[str]] = self.env.ledger_pages  # type: ignore[attr-defined]
        pages.setdefault(self.env.docname, set()).add(claim or self.name)
        # the invisible formula makes Sphinx load MathJax on pages whose only formulas fill slots
        return verdict_slot("", nodes.math("", ""), kind=kind, claim=claim)

    def lead(self, title: str, text: str) -> nodes.paragraph:
        """A paragraph: bold ``title``, then the parsed ``text``."""
        paragraph = nodes.paragraph("", "", nodes.strong("", title), nodes.Text(" "))
        for node in self.parse(text):
            paragraph += node.children if isinstance(node, nodes.paragraph) else [node]
        return paragraph

    def origin(self, claim: Any) -> nodes.paragraph:
        """Where a claim is printed and which chapter judges it."""
        return nodes.paragraph("", f"{claim.place} → ", self.slot("chapter", claim.id))


class VerdictBox(LedgerDirective):
    """``{verdict-box} id``: one claim, or all claims of a chapter."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        register, name = load_register(self.env), self.arguments[0]
        if name in register.chapters:
            return [self.box(claim) for claim in register.claims_of(name)]
        try:
            return [self.box(register.claim(name))]
        except KeyError as error:
            raise self.error(str(error)) from None

    def box(self, claim: Any) -> nodes.Node:
        self.reads(claim.chapter)
        head = nodes.paragraph("", "", nodes.strong("", claim.label), classes=["verdict-head"])
        head += [
            nodes.inline("", f" {claim.place} ", classes=["verdict-place"]),
            self.slot("badge", claim.id),
        ]
        box = nodes.container("", head, classes=["verdict-box"])
        box += [
            self.lead("As printed.", claim.printed),
            self.lead(f"{draw.ours('Corrected')}.", claim.corrected),
        ]
        box += self.slot("checks", claim.id)
        boxes: dict[str, str] = self.env.ledger_boxes  # type: ignore[attr-defined]
        if boxes.setdefault(claim.id, self.env.docname) == self.env.docname:
            box["ids"].append(f"verdict-{claim.id}")
        return box


class Ledger(LedgerDirective):
    """``{ledger}``: how many claims got which verdict, and every claim in a table."""

    def run(self) -> list[nodes.Node]:
        register = load_register(self.env)
        self.reads(*register.chapters)
        rows = [
            draw.row(
                c,
                [draw.name(c), self.origin(c)],
                self.parse(c.printed),
                [
                    nodes.paragraph("", "", self.slot("badge", c.id)),
                    self.slot("reach", c.id),
                    *self.parse(c.corrected),
                ],
            )
            for c in register.claims
        ]
        head = ("Claim", "As printed", draw.ours("Verdict and corrected statement"))
        return [self.slot("summary"), draw.table(head, (20, 35, 45), rows)]


class Summary(LedgerDirective):
    """``{ledger-summary}``: how many claims got which verdict, in one line."""

    def run(self) -> list[nodes.Node]:
        self.reads(*load_register(self.env).chapters)
        return [self.slot("summary")]


class EquationIndex(LedgerDirective):
    """``{equation-index}``: the paper's numbered equations, their verdicts and corrected forms."""

    def run(self) -> list[nodes.Node]:
        from book.study.paper import printed as paper

        register, rows = load_register(self.env), []
        self.reads(*register.chapters)
        known = {claim.id: claim for claim in register.claims}
        for equation in paper.EQUATIONS:
            if equation.id not in known:
                continue
            number = nodes.paragraph("", f"({equation.number})", ids=[f"paper-{equation.id}"])
            number["names"].append(f"paper-{equation.id}")
            self.state.document.note_explicit_target(number)
            claim = known[equation.id]
            rows.append(
                draw.row(
                    claim,
                    [number, self.origin(claim)],
                    [nodes.math_block(equation.tex, equation.tex, nowrap=False, number=None)],
                    [nodes.paragraph("", "", self.slot("badge", claim.id)), *self.parse(claim.corrected)],
                )
            )
        head = ("No.", "As printed", draw.ours("Verdict and corrected form"))
        return [draw.table(head, (12, 43, 45), rows)]


class PrintedEquation(LedgerDirective):
    """``{printed-equation} 4``: an equation as the paper prints it, with the paper's own number."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        from book.study.paper import printed as paper

        self.reads()
        equation = paper.equation(directives.positive_int(self.arguments[0]))
        tex = rf"\begin{{equation}}{equation.tex} \tag{{{equation.number}}}\end{{equation}}"
        return [nodes.math_block(tex, tex, nowrap=True, number=None)]


class VerdictWords(LedgerDirective):
    """``{verdict-words}``: each word that a verdict may be, in its colour, and what it means."""

    def run(self) -> list[nodes.Node]:
        from book.study.verdicts import model

        self.env.note_dependency(model.__file__)
        return [draw.words(model.Verdict)]


class FamilyRule(LedgerDirective):
    """``{family-rule}``: when small networks together carry a verdict about any network."""

    def run(self) -> list[nodes.Node]:
        from book.study.family import rule

        self.env.note_dependency(rule.__file__)
        return [nodes.paragraph("", str(rule.RULE))]


@functools.cache
def reaches(names: frozenset[str]) -> dict[str, Any]:
    """Over how many networks of the family each statement holds; they are those of the shipped book."""
    from book.study.family import rule
    from book.study.profile import BOOK

    return rule.reaches(names) if BOOK.shipped and names else {}


def carrying(found: dict[str, Any]) -> list[str]:
    """Statements that may be said of any network."""
    return [name for name, reach in found.items() if reach.carries]


def chapter_link(app: Sphinx, page: str, claim: Any) -> nodes.Node:
    """Link to the chapter that judges ``claim``, at its verdict box when it has one."""
    env: Any = app.env
    target = env.ledger_boxes.get(claim.id) or env.ledger_chapters.get(claim.chapter)
    if target is None:
        return nodes.Text(claim.chapter.replace("_", " "))
    anchor = f"#verdict-{claim.id}" if claim.id in env.ledger_boxes else ""
    uri = app.builder.get_relative_uri(page, target) + anchor
    return nodes.reference("", env.titles[target].astext(), internal=True, refuri=uri)


def fill(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Replace the slots of a page; all pages have been read by now."""
    slots = list(doctree.findall(verdict_slot))
    if not slots:
        return
    register, outcomes = load_register(app.env), read_outcomes()
    from book.study.profile import BOOK  # of the book that is built, not of the one that holds this file

    family = reaches(register.families)
    judged = register.judge(outcomes, large=not BOOK.small, statements=carrying(family))
    judgements = {j.claim.id: j for j in judged}
    for slot in slots:
        judgement = judgements.get(slot["claim"])
        if slot["kind"] == "summary":
            slot.replace_self(draw.summary(list(judgements.values())))
        elif slot["kind"] == "badge":
            colour(slot, judgement)
            slot.replace_self(draw.badge(judgement, BOOK.shipped))
        elif slot["kind"] == "checks":
            slot.replace_self(draw.check_list(register, judgement, family, BOOK))
        elif slot["kind"] == "reach":
            slot.replace_self(draw.reach(register, judgement, family) if BOOK.shipped else [])
        else:
            slot.replace_self(chapter_link(app, page, register.claim(slot["claim"])))


def colour(slot: nodes.Node, judgement: Any) -> None:
    """Give the verdict box around a badge the class of its verdict."""
    box = slot.parent.parent
    if isinstance(box, nodes.container) and judgement.verdict is not None:
        box["classes"].append(f"verdict-{judgement.verdict.slug}")


def report(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn about everything that the ledger, or the boxes when there is no ledger, cannot stand on."""
    pages: dict[str, set[str]] = env.ledger_pages  # type: ignore[attr-defined]
    chapters: dict[str, str] = env.ledger_chapters  # type: ignore[attr-defined]
    if not pages:
        return
    register, outcomes = load_register(env), read_outcomes()
    for chapter in sorted({check.partition("/")[0] for check in outcomes} - set(chapters)):
        log.warning("checks of chapter %r come from no page of this book", chapter, type="ledger")
    shown = set().union(*pages.values())
    from book.study.profile import BOOK

    say = log.warning if BOOK.shipped else log.info
    carried = carrying(reaches(register.families))
    for problem in register.problems(outcomes, None if "ledger" in shown else shown, carried):
        say("ledger: %s", problem, type="ledger")


def note_source(app: Sphinx, page: str, source: list[str]) -> None:
    """Before a page is read: which chapter it opens."""
    opened = OPENED.search(source[0])
    if opened is not None:
        app.env.ledger_chapters[opened[1]] = page  # type: ignore[attr-defined]


def prepare(app: Sphinx, env: Any, docnames: list[str]) -> None:
    """Give a new environment the ledger's notes: pages with slots, boxes by claim, chapters by slug."""
    for name in ("ledger_pages", "ledger_boxes", "ledger_chapters"):
        if not hasattr(env, name):
            setattr(env, name, {})


def forget(app: Sphinx, env: Any, page: str) -> None:
    """Drop the notes of a page that is about to be read again or is gone."""
    prepare(app, env, [])
    env.ledger_pages.pop(page, None)
    env.ledger_boxes = {claim: at for claim, at in env.ledger_boxes.items() if at != page}
    env.ledger_chapters = {slug: at for slug, at in env.ledger_chapters.items() if at != page}


def rewritten(app: Sphinx, env: Any) -> list[str]:
    """Pages with slots are written anew in every build."""
    return sorted(env.ledger_pages)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives and the hooks."""
    app.add_config_value("ledger_register", "book.study.verdicts:register", "env", types=(str,))
    app.add_node(verdict_slot)
    for name, directive in (
        ("verdict-box", VerdictBox),
        ("ledger", Ledger),
        ("ledger-summary", Summary),
        ("equation-index", EquationIndex),
        ("printed-equation", PrintedEquation),
        ("verdict-words", VerdictWords),
        ("family-rule", FamilyRule),
    ):
        app.add_directive(name, directive)
    app.add_css_file("verdicts.css")
    app.add_js_file("ledger.js", loading_method="defer")
    app.connect("env-purge-doc", forget)
    app.connect("env-before-read-docs", prepare)
    app.connect("source-read", note_source)
    app.connect("env-updated", rewritten)
    app.connect("env-check-consistency", report)
    app.connect("doctree-resolved", fill)
    return {"version": "1", "env_version": 2, "parallel_read_safe": False, "parallel_write_safe": True}

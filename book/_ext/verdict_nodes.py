"""Docutils nodes of the ledger: badges, lists of checks, tables. Nothing here knows Sphinx."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import captions
from docutils import nodes


def row(claim: Any, *cells: list[nodes.Node]) -> nodes.row:
    """A row of a claim, which can be linked to and which `ledger.js` can choose by kind and chapter."""
    kind = claim.id.partition("-")[0]
    found = nodes.row("", *[nodes.entry("", *cell) for cell in cells])
    found["ids"].append(f"ledger-{claim.id}")
    found["classes"] += [f"kind-{kind}", f"chapter-{claim.chapter}"]
    return found


def name(claim: Any) -> nodes.paragraph:
    """The name of a claim, as a link to its own row."""
    link = nodes.reference("", claim.label, internal=True, refuri=f"#ledger-{claim.id}")
    return nodes.paragraph("", "", nodes.strong("", "", link), classes=["claim"])


def table(head: Sequence[str], widths: Sequence[int], rows: Sequence[nodes.row]) -> nodes.Node:
    """A docutils table with class ``ledger``."""
    group = nodes.tgroup("", *[nodes.colspec("", colwidth=w) for w in widths], cols=len(widths))
    titles = [[nodes.paragraph("", title)] for title in head]
    group += nodes.thead("", nodes.row("", *[nodes.entry("", *cell) for cell in titles]))
    group += nodes.tbody("", *rows)
    return nodes.table("", group, classes=["ledger"])


def inline(text: str) -> list[nodes.Node]:
    """Plain text with ``$…$`` formulas as nodes."""
    parts = text.split("$")
    return [nodes.math("", t) if k % 2 else nodes.Text(t) for k, t in enumerate(parts) if t]


def ours(title: str) -> str:
    """A heading of what we wrote about the shipped book's runs; another profile says that it is of those."""
    from book.study.profile import BOOK

    return title if BOOK.shipped else f"{title} (of the shipped book)"


def badge(judgement: Any, shipped: bool = True) -> nodes.Node:
    """The verdict as a coloured word; a missing or unexpected one is shown as such.

    Not `shipped`: what another profile found, beside the verdict of the shipped book where they differ.
    """
    if not shipped and judgement.verdict is not judgement.claim.expected:
        here = nodes.inline("", "not judged", classes=["verdict", "verdict-missing"])
        if judgement.verdict is not None:
            here = coloured(judgement.verdict, str(judgement.verdict))
        pinned = coloured(judgement.claim.expected, str(judgement.claim.expected))
        return nodes.inline("", "", nodes.Text("here: "), here, nodes.Text("; shipped book: "), pinned)
    if judgement.verdict is None:
        return nodes.inline("", "not judged", classes=["verdict", "verdict-missing"])
    word = coloured(judgement.verdict, str(judgement.verdict))
    if not judgement.as_expected:
        word["classes"].append("verdict-unexpected")
    return word


ALONE = "the shipped one only"


def reach(register: Any, judgement: Any, family: Mapping[str, Any]) -> list[nodes.Node]:
    """Over which networks that was measured on small ones holds; nothing for a claim that needs none."""
    small = [register.checks[i] for i in judgement.claim.checks if i in register.small]
    said = [f"“{family[c.family].says}” {family[c.family]}" for c in small if c.family in family]
    rest = [] if len(said) == len(small) else [f"for other checks {ALONE}" if said else ALONE]
    text = f"Networks: {'; '.join([*dict.fromkeys(said), *rest])}."
    return [nodes.paragraph("", text, classes=["verdict-reach"])] if small else []


def check_reach(check: Any, family: Mapping[str, Any]) -> str:
    """What is said of one check that was measured on small networks."""
    if check.family not in family:
        return "; measured on the shipped network only"
    asked = family[check.family]
    return f". Over the family, “{asked.says}” {asked}"


def check_list(register: Any, judgement: Any, family: Mapping[str, Any], profile: Any) -> list[nodes.Node]:
    """Why: the qualifier of the verdict, and one line per check with its outcome and how far it reaches.

    In another profile than the shipped book's lines call things what they are there.
    """
    from book.study.numbers import number, unbroken

    states, words = ((lambda text: text),) * 2
    if not profile.shipped:
        states, words = (
            functools.partial(said, profile=profile) for said in (captions.here, captions.in_words)
        )
    claim, items = judgement.claim, nodes.bullet_list(classes=["verdict-checks"])
    for outcome in judgement.outcomes:
        check = register.checks[outcome.check]
        mark = nodes.inline("", "✓ " if outcome.passed else "✗ ", classes=["verdict-mark"])
        line = nodes.paragraph("", "", mark, *inline(states(check.states)))
        if outcome.value is not None:
            unit = f" {check.unit}" if check.unit else ""
            bound = unbroken(str(check.bound))
            line += nodes.Text(f": {number(outcome.value)}{unit} (bound fixed beforehand: {bound})")
        if outcome.detail:
            line += [nodes.Text(" — "), *inline(words(outcome.detail))]
        if profile.shipped and check.id in register.small:
            line += nodes.Text(check_reach(check, family))
        items += nodes.list_item("", line)
    items += [nodes.list_item("", nodes.paragraph("", f"✗ {name}: not run")) for name in judgement.absent]
    if judgement.verdict is not claim.expected:
        return [items]
    verdict = nodes.strong("", f"{ours(str(claim.expected).capitalize())}:")
    return [nodes.paragraph("", "", verdict, nodes.Text(" "), *inline(claim.because), nodes.Text(".")), items]


def words(verdicts: Iterable[Any]) -> nodes.Node:
    """A list of the words that a verdict may be, each in its colour and with its meaning."""
    items = nodes.bullet_list()
    for verdict in verdicts:
        line = nodes.paragraph("", "", coloured(verdict, str(verdict)), nodes.Text(f": {verdict.meaning}"))
        items += nodes.list_item("", line)
    return items


def coloured(verdict: Any, text: str) -> nodes.Node:
    """``text`` in the colour of ``verdict``."""
    return nodes.inline("", text, classes=["verdict", f"verdict-{verdict.slug}"])


def summary(judgements: Sequence[Any]) -> nodes.Node:
    """One line: how many claims, and how many of each verdict."""
    from book.study.verdicts import Verdict

    line = nodes.paragraph("", f"{len(judgements)} claims: ", classes=["verdict-summary"])
    for verdict in Verdict:
        count = sum(j.verdict is verdict for j in judgements)
        line += coloured(verdict, f"{count} {verdict}")
        line += nodes.Text(" ")
    return line

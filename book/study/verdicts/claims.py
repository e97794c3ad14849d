"""What each chapter must check and which claims it judges: ``claims.yml`` in the folder of its topic.

A file has ``note`` (how its bounds were fixed), ``phrases`` (wording that several entries share), ``checks``
and ``claims``. Any text may hold blanks, ``{{ frames }}``: a number of the paper by its name in
``book/study/paper/printed.yml``, or one of the file's own phrases. A check is an ``identity`` or a
``measurement``, which has a bound: ``below: 0.5``, ``above: 2``, ``within: [0, 1]``; instead of a number,
``below: {printed: frames}``. ``within: {printed: rank_deviation}`` is all that rounds to the printed digits.
``measured_on: small network`` says of a measurement that only a small network was asked; a claim that leans
on one says what it is ``about``, ``VGGT`` or ``any network``, and the verdict follows (``model.judge``).
``family: merging_costs`` names the statement (``book.study.family.statements``) that asks all small networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from book.study import entries
from book.study.entries import EntryError
from book.study.paper import printed as paper
from book.study.verdicts.model import Bound, Check, Claim, Kind, Measured, above, below, within

STUDY = Path(__file__).resolve().parents[1]
CONTENTS = entries.ROOT / "_toc.yml"
KINDS: tuple[Kind, ...] = ("identity", "measurement")
BOUNDS = ("below", "above", "within")
MORE = ("unit", "measured_on", "family")


@dataclass(frozen=True)
class Part:
    """The checks that one chapter must run and the claims that it judges."""

    chapter: str
    checks: tuple[Check, ...]
    claims: tuple[Claim, ...]


def known(study: Path = STUDY) -> tuple[str, ...]:
    """Topics that have a ``claims.yml``, in the order of the alphabet."""
    return tuple(sorted(path.parent.name for path in study.glob("*/claims.yml")))


def in_order_of_the_book(topics: tuple[str, ...], contents: Path = CONTENTS) -> tuple[str, ...]:
    """``topics`` in the order in which the table of contents names their chapters.

    Raises:
        EntryError: a topic has no chapter there.
    """
    toc = yaml.safe_load(contents.read_text(encoding="utf-8"))
    pages = [Path(page["file"]).name for part in toc["parts"] for page in part["chapters"]]
    if lost := [topic for topic in topics if topic not in pages]:
        raise EntryError(f"{entries.shown(contents)} lists no chapter for the claims of {', '.join(lost)}")
    return tuple(sorted(topics, key=pages.index))


def part(topic: str, study: Path = STUDY) -> Part:
    """Read one topic's ``claims.yml``.

    Raises:
        EntryError: the file breaks the form above; the message names the entry and what is allowed.
    """
    path = study / topic / "claims.yml"
    where, content = entries.shown(path), entries.read(path, ("note", "phrases", "checks", "claims"))
    blanks = _blanks(content.get("phrases", {}), f"{where}, phrases")

    def entries_of(kind: str) -> Iterator[tuple[str, Any, str]]:
        for name, entry in entries.mapping(content.get(kind, {}), f"{where}, {kind}").items():
            here = f"{where}, {kind.removesuffix('s')} {name}"
            yield name, entries.filled(entry, blanks, here), here

    return Part(
        topic,
        tuple(_check(topic, name, entry, here) for name, entry, here in entries_of("checks")),
        tuple(
            entries.build(Claim, entry, here, id=name, chapter=topic)
            for name, entry, here in entries_of("claims")
        ),
    )


def _blanks(phrases: object, where: str) -> dict[str, str]:
    """What may fill a blank: the paper's numbers, and the file's phrases, which may hold numbers."""
    numbers, own = paper.blanks(), entries.mapping(phrases, where)
    if double := sorted(numbers.keys() & own.keys()):
        raise EntryError(f"{where}: {', '.join(double)} is a number of the paper; choose another name")
    return numbers | entries.filled(own, numbers, where)


def _check(topic: str, name: str, entry: object, where: str) -> Check:
    content = entries.mapping(entry, where, (*KINDS, *BOUNDS, *MORE))
    kinds, bounds = [k for k in KINDS if k in content], [b for b in BOUNDS if b in content]
    if len(kinds) != 1 or len(bounds) != (kinds == ["measurement"]):
        raise EntryError(
            f"{where}: is either an identity, without a bound, or a measurement with one of "
            f"{', '.join(BOUNDS)}; got {', '.join(content) or 'nothing'}"
        )
    states = entries.typed(content[kinds[0]], str, f"{where}, {kinds[0]}")
    bound = _bound(bounds[0], content[bounds[0]], f"{where}, {bounds[0]}") if bounds else None
    unit, family = (
        entries.typed(content[key], str, f"{where}, {key}") if key in content else ""
        for key in ("unit", "family")
    )
    on = content.get("measured_on") and entries.typed(
        content["measured_on"], Measured, f"{where}, measured_on"
    )
    try:
        return Check(name, states, kinds[0], bound, unit, topic, on, family)
    except ValueError as error:
        raise EntryError(f"{where}: {error}") from None


def _bound(kind: str, value: object, where: str) -> Bound:
    if isinstance(value, dict):
        (name,) = entries.mapping(value, where, ("printed",)).values() or ("",)
        try:
            number = paper.number(name)
        except ValueError as error:
            raise EntryError(f"{where}: {error}") from None
        middle, half = number.value, number.half_width
        value = [middle - half, middle + half] if kind == "within" else middle
    if kind != "within":
        return {"below": below, "above": above}[kind](entries.typed(value, float, where))
    if not isinstance(value, list) or len(value) != 2:
        raise EntryError(f"{where}: expected the two ends of an interval, got {value!r}")
    low, high = (entries.typed(end, float, where) for end in value)
    if low > high:
        raise EntryError(f"{where}: the interval from {low:g} to {high:g} is empty")
    return within(low, high)

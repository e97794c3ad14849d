"""Checks, claims, and the rule that turns the outcomes of checks into a verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from book.study.numbers import minus

Kind = Literal["identity", "measurement"]


class Verdict(StrEnum):
    """The words of the ledger; nothing else may be pinned, drawn or computed."""

    HOLDS = "holds"
    WITH_ASSUMPTIONS = "holds under added assumptions"
    DOES_NOT_FOLLOW = "does not follow"
    CONTRADICTED = "contradicted"
    NOT_DECIDABLE = "not decidable here"

    @property
    def slug(self) -> str:
        """Name usable as a CSS class, e.g. ``does-not-follow``."""
        return self.value.replace(" ", "-")


@dataclass(frozen=True)
class Bound:
    """Interval a measured value must lie in, fixed before it is measured; ``inclusive`` ends or not."""

    low: float = -math.inf
    high: float = math.inf
    inclusive: bool = False

    def accepts(self, value: float) -> bool:
        """Whether ``value`` lies in the interval; NaN never does."""
        if self.inclusive:
            return self.low <= value <= self.high
        return self.low < value < self.high

    def __str__(self) -> str:
        less, more = ("≤", "≥") if self.inclusive else ("<", ">")
        low, high = (minus(f"{end:g}") for end in (self.low, self.high))
        if math.isinf(self.low):
            return f"{less} {high}"
        if math.isinf(self.high):
            return f"{more} {low}"
        return f"= {low}" if self.low == self.high else f"in {low} … {high}"


def below(value: float) -> Bound:
    """Bound met by values strictly below ``value``."""
    return Bound(high=value)


def above(value: float) -> Bound:
    """Bound met by values strictly above ``value``."""
    return Bound(low=value)


def within(low: float, high: float) -> Bound:
    """Bound met by values in the closed interval from ``low`` to ``high``."""
    return Bound(low, high, inclusive=True)


@dataclass(frozen=True)
class Check:
    """A proposition declared in advance: an identity (true or false) or a measurement with its bound.

    ``states`` says what is true when the check passes; every declared check is expected to pass.
    """

    name: str
    states: str
    kind: Kind
    bound: Bound | None = None
    unit: str = ""
    chapter: str = ""

    def __post_init__(self) -> None:
        if (self.kind == "measurement") != (self.bound is not None):
            raise ValueError(
                f"check {self.name!r} is a {self.kind} with bound {self.bound}; "
                "a measurement needs one and an identity has none"
            )

    @property
    def id(self) -> str:
        """``chapter/name``, unique in the register."""
        return f"{self.chapter}/{self.name}"


def identity(name: str, states: str) -> Check:
    """Declare a check that must come out true exactly (an identity, or a fact about printed text)."""
    return Check(name, states, "identity")


def measurement(name: str, states: str, bound: Bound, unit: str = "") -> Check:
    """Declare a check that measures one number and compares it with ``bound``."""
    return Check(name, states, "measurement", bound, unit)


@dataclass(frozen=True)
class CheckOutcome:
    """How one check came out: ``value`` for measurements, ``error`` when it raised."""

    check: str  # Check.id
    passed: bool
    value: float | None = None
    detail: str = ""
    error: str = ""


@dataclass(frozen=True)
class Claim:
    """One row of the ledger: what is printed where, the corrected statement, and what judges it.

    The five tuples name checks by id (``chapter/name``; the claim's own chapter may be left out) and give
    each its part in the verdict, see :func:`judge`. ``expected`` pins the verdict: when the checks come out
    otherwise, the build turns red instead of the verdict changing in silence. ``because`` says which
    assumptions, where it breaks, by what it is contradicted, or what would decide it. ``chapter`` judges
    it and is filled in by the register.
    """

    id: str
    place: str
    printed: str
    corrected: str
    expected: Verdict
    because: str
    supports: tuple[str, ...] = ()
    refutes: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    rescues: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    chapter: str = ""

    @property
    def checks(self) -> tuple[str, ...]:
        """Ids of the checks that judge this claim: refutes, breaks, rescues, supports, missing."""
        names = self.refutes + self.breaks + self.rescues + self.supports + self.missing
        return tuple(self.qualified(name) for name in names)

    def qualified(self, name: str) -> str:
        """Full check id of ``name``."""
        return name if "/" in name else f"{self.chapter}/{name}"


@dataclass(frozen=True)
class Judgement:
    """The computed verdict of one claim (None while a check of it has not run) with its outcomes."""

    claim: Claim
    verdict: Verdict | None
    outcomes: tuple[CheckOutcome, ...]
    absent: tuple[str, ...] = field(default=())

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the pinned one and every check of the claim passed."""
        return self.verdict is self.claim.expected and all(o.passed for o in self.outcomes)


def judge(claim: Claim, outcomes: Mapping[str, CheckOutcome]) -> Judgement:
    """Compute the verdict on ``claim`` from the outcomes of its checks.

    In this order: any true refutation, or any false support, contradicts; if all of ``missing`` are true,
    nothing here can decide; if all ``rescues`` are true it holds under added assumptions; any true break
    means it does not follow; all supports true means it holds; otherwise nothing was decided. No check, or
    a check that did not run, gives no verdict at all.
    """
    absent = tuple(i for i in claim.checks if i not in outcomes)
    ran = tuple(outcomes[i] for i in claim.checks if i in outcomes)
    if absent or not ran:
        return Judgement(claim, None, ran, absent)

    def passed(names: Iterable[str]) -> list[bool]:
        return [outcomes[claim.qualified(name)].passed for name in names]

    if any(passed(claim.refutes)) or not all(passed(claim.supports)):
        verdict = Verdict.CONTRADICTED
    elif claim.missing and all(passed(claim.missing)):
        verdict = Verdict.NOT_DECIDABLE
    elif claim.rescues and all(passed(claim.rescues)):
        verdict = Verdict.WITH_ASSUMPTIONS
    elif any(passed(claim.breaks)):
        verdict = Verdict.DOES_NOT_FOLLOW
    else:
        verdict = Verdict.HOLDS if claim.supports else Verdict.NOT_DECIDABLE
    return Judgement(claim, verdict, ran)

"""Checks, claims, and the rule that turns the outcomes of checks into a verdict."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from book.study.numbers import number

Kind = Literal["identity", "measurement"]


class Verdict(StrEnum):
    """The words of the ledger, each with what it means; nothing else may be pinned, drawn or computed."""

    meaning: str  # what the word says, one sentence for the pages that explain it

    def __new__(cls, word: str, meaning: str) -> Verdict:
        verdict = str.__new__(cls, word)
        verdict._value_, verdict.meaning = word, meaning
        return verdict

    HOLDS = (
        "holds",
        "the statement follows as printed, or the measurement agrees within a threshold fixed beforehand.",
    )
    WITH_ASSUMPTIONS = (
        "holds under added assumptions",
        "it follows if something is assumed that the paper does not state; we say what.",
    )
    DOES_NOT_FOLLOW = (
        "does not follow",
        "the derivation breaks, or the evidence ends, at a place that we name.",
    )
    CONTRADICTED = ("contradicted", "another equation or a measurement says otherwise; we name it.")
    NOT_GENERAL = (
        "not shown to be general",
        "the claim is about VGGT, and only small networks were measured; VGGT-1B may do otherwise, and we "
        "say what would have to be measured. Or it is about any network, and too few of them agree.",
    )
    NOT_DECIDABLE = ("not decidable here", "nothing that we have speaks for or against; we say what would.")

    @property
    def slug(self) -> str:
        """Name usable as a CSS class, e.g. ``does-not-follow``."""
        return self.value.replace(" ", "-")


class Scope(StrEnum):
    """What a claim speaks of: it decides how far a measurement on a small network carries."""

    ANY = "any network"
    VGGT = "VGGT"


class Measured(StrEnum):
    """What a check was measured on, where that is not the thing that claims speak of."""

    SMALL = "small network"


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
        low, high = (number(end, 6) for end in (self.low, self.high))
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
    ``measured_on`` is set where only small networks were measured; ``family`` names the statement that asks
    all networks of the family the same, if there is one.
    """

    name: str
    states: str
    kind: Kind
    bound: Bound | None = None
    unit: str = ""
    chapter: str = ""
    measured_on: Measured | None = None
    family: str = ""

    def __post_init__(self) -> None:
        if self.family and self.measured_on is None:
            raise ValueError(f"check {self.name!r} names a family of networks, but was not measured on one")
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
    assumptions, where it breaks, by what it is contradicted, or what would decide it. ``about`` is the
    claim's scope, needed where small networks decide. ``denies``: a premise that the paper states and the
    rescues deny, so that they add no assumption. ``chapter`` judges it and is filled in by the register.
    ``called`` is its name on pages, where its id does not say it.

    Raises:
        ValueError: it ``denies`` a premise and has no rescues.
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
    about: Scope | None = None
    denies: str = ""
    called: str = ""

    def __post_init__(self) -> None:
        if self.denies and not self.rescues:
            raise ValueError(f"claim {self.id!r} denies a premise of the paper, but no check rescues it")

    @property
    def label(self) -> str:
        """How it is called on a page: "Eq. (4)", "Table 1", "Fig. 2", or "Claim: unique steady state"."""
        kind, _, rest = self.id.partition("-")
        names = {"eq": f"Eq. ({rest})", "table": f"Table {rest}", "fig": f"Fig. {rest}"}
        return names.get(kind) or f"Claim: {self.called or rest.replace('-', ' ')}"

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


def judge(
    claim: Claim,
    outcomes: Mapping[str, CheckOutcome],
    small: Collection[str] = frozenset(),
    carried: Collection[str] = frozenset(),
) -> Judgement:
    """Compute the verdict on ``claim`` from the outcomes of its checks.

    In this order: any true refutation, or any false support, contradicts; if all of ``missing`` are true,
    nothing here can decide; if all ``rescues`` are true, and do not deny what the paper states, it holds
    under added assumptions; any true break means it does not follow; all supports true means it holds;
    otherwise nothing was decided. One refutation or break, or every support or rescue, must reach beyond the
    networks that were measured; else the claim is not shown to be general. ``small``: ids of the checks that
    were measured on small networks only: they never reach VGGT. ``carried``: those of them that the family
    carries (`book.study.family.rule`): they reach what is said of any network. No check, or one that did not
    run, gives no verdict.
    """
    absent = tuple(i for i in claim.checks if i not in outcomes)
    ran = tuple(outcomes[i] for i in claim.checks if i in outcomes)
    if absent or not ran:
        return Judgement(claim, None, ran, absent)

    def which(names: Iterable[str], passed: bool = True) -> list[str]:
        return [i for i in map(claim.qualified, names) if outcomes[i].passed is passed]

    confined = set(small) if claim.about is Scope.VGGT else set(small) - set(carried)
    verdict, grounds, enough = Verdict.NOT_DECIDABLE, list[str](), all
    if against := which(claim.refutes) + which(claim.supports, passed=False):
        verdict, grounds, enough = Verdict.CONTRADICTED, against, any
    elif claim.missing and not which(claim.missing, passed=False):
        pass
    elif claim.rescues and not claim.denies and not which(claim.rescues, passed=False):
        verdict, grounds = Verdict.WITH_ASSUMPTIONS, which(claim.rescues)
    elif breaks := which(claim.breaks):
        verdict, grounds, enough = Verdict.DOES_NOT_FOLLOW, breaks, any
    elif claim.supports:
        verdict, grounds = Verdict.HOLDS, which(claim.supports)
    if not enough(i not in confined for i in grounds):
        verdict = Verdict.NOT_GENERAL
    return Judgement(claim, verdict, ran)

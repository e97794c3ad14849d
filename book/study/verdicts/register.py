"""The register: all checks and claims, gathered chapter by chapter, and its consistency."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from book.study.verdicts.model import Check, CheckOutcome, Claim, Judgement, Measured, Scope, judge


class RegisterError(ValueError):
    """The register contradicts itself: a double id, an undeclared check, an unreachable verdict."""


@dataclass(frozen=True)
class Register:
    """Checks by id and claims in order of the paper. Build one with :func:`build`."""

    checks: Mapping[str, Check]
    claims: tuple[Claim, ...]

    @property
    def chapters(self) -> tuple[str, ...]:
        """Chapters that have a check or a claim, in order of first appearance."""
        names = [check.chapter for check in self.checks.values()] + [claim.chapter for claim in self.claims]
        return tuple(dict.fromkeys(names))

    @property
    def small(self) -> frozenset[str]:
        """Ids of the checks that were measured on small networks only."""
        return frozenset(i for i, check in self.checks.items() if check.measured_on is Measured.SMALL)

    @property
    def families(self) -> frozenset[str]:
        """Statements about the family of networks that checks name."""
        return frozenset(check.family for check in self.checks.values() if check.family)

    def carried(self, statements: Collection[str]) -> frozenset[str]:
        """Ids of the small checks that the family carries: their statement is among these."""
        return frozenset(i for i in self.small if self.checks[i].family in statements)

    def checks_of(self, chapter: str) -> tuple[Check, ...]:
        """The checks that ``chapter`` must run."""
        return tuple(check for check in self.checks.values() if check.chapter == chapter)

    def claims_of(self, chapter: str) -> tuple[Claim, ...]:
        """The claims that ``chapter`` judges."""
        return tuple(claim for claim in self.claims if claim.chapter == chapter)

    def claim(self, claim_id: str) -> Claim:
        """The claim with this id.

        Raises:
            KeyError: no claim has it.
        """
        for claim in self.claims:
            if claim.id == claim_id:
                return claim
        raise KeyError(
            f"no claim {claim_id!r} in the register; see book/study/*/claims.yml for the known ids"
        )

    def judge(
        self,
        outcomes: Mapping[str, CheckOutcome],
        large: bool = False,
        statements: Collection[str] = (),
    ) -> tuple[Judgement, ...]:
        """A judgement for every claim, in order; ``large``: no network that was measured is a small one.

        ``statements``: those that the family carries, by name.
        """
        small, carried = frozenset[str]() if large else self.small, self.carried(statements)
        return tuple(judge(claim, outcomes, small, carried) for claim in self.claims)

    def problems(
        self,
        outcomes: Mapping[str, CheckOutcome],
        only: Iterable[str] | None = None,
        statements: Collection[str] = (),
    ) -> list[str]:
        """Everything that must stop a build, as sentences; empty when all is complete and as pinned.

        ``only``: ids of the claims to look at (default all). Outcomes are always looked at in full.
        ``statements``: those that the family carries, by name.
        """
        asked = None if only is None else set(only)
        claims = [claim for claim in self.claims if asked is None or claim.id in asked]
        needed = list(self.checks) if asked is None else [i for claim in claims for i in claim.checks]
        found = [
            f"check {i} ({self.checks[i].states}) has not run; chapter {self.checks[i].chapter!r} must run it"
            for i in dict.fromkeys(needed)
            if i not in outcomes
        ]
        for outcome in outcomes.values():
            if outcome.check not in self.checks:
                found.append(f"check {outcome.check} ran but is not declared in the register")
            elif not outcome.passed:
                check = self.checks[outcome.check]
                shown = outcome.error or f"value {outcome.value}, must be {check.bound}"
                found.append(f"check {check.id} failed: {check.states} ({shown})")
        for claim in claims:
            verdict = judge(claim, outcomes, self.small, self.carried(statements)).verdict
            if verdict not in (None, claim.expected):
                found.append(
                    f"claim {claim.id}: the checks give {verdict!s}, but {claim.expected!s} is pinned"
                )
        return found


def build(parts: Iterable[tuple[str, Iterable[Check], Iterable[Claim]]]) -> Register:
    """Gather ``(chapter, checks, claims)`` into a register and check that it is consistent.

    Raises:
        RegisterError: an id is used twice, a claim names no check or an undeclared one, a check judges
            nothing, a claim leans on small networks without its scope, or a pinned verdict is not what its
            checks give when all of them pass.
    """
    checks: dict[str, Check] = {}
    claims: list[Claim] = []
    for chapter, own_checks, own_claims in parts:
        for check in own_checks:
            check = replace(check, chapter=chapter)
            if check.id in checks:
                raise RegisterError(f"check {check.id} is declared twice")
            checks[check.id] = check
        claims.extend(replace(claim, chapter=chapter) for claim in own_claims)
    register = Register(checks, tuple(sorted(claims, key=_paper_order)))
    _validate(register)
    return register


def _paper_order(claim: Claim) -> tuple[int, int, str]:
    """Equations by number, then tables, then figures, then in-text claims in order of their section."""
    kind, _, rest = claim.id.partition("-")
    rank = {"eq": 0, "table": 1, "fig": 2}.get(kind, 3)
    number = int(rest) if rank < 3 and rest.isdigit() else 0
    return rank, number, claim.place if rank == 3 else ""


def _validate(register: Register) -> None:
    ids = [claim.id for claim in register.claims]
    doubles = sorted({i for i in ids if ids.count(i) > 1})
    if doubles:
        raise RegisterError(f"claims declared twice: {', '.join(doubles)}")
    for claim in register.claims:
        unknown = [i for i in claim.checks if i not in register.checks]
        if unknown or not claim.checks:
            raise RegisterError(f"claim {claim.id} names {unknown or 'no checks'}; declare its checks first")
        leans = sorted(register.small & set(map(claim.qualified, claim.refutes + claim.supports)))
        if leans and claim.about is None:
            raise RegisterError(
                f"claim {claim.id} leans on small networks ({', '.join(leans)}); say what it is about: "
                f"{' or '.join(Scope)}"
            )
        every = {i: CheckOutcome(i, passed=True) for i in claim.checks}
        reached = judge(claim, every, register.small, register.carried(register.families)).verdict
        if reached is not claim.expected:
            raise RegisterError(
                f"claim {claim.id} pins {claim.expected!s}, but its checks would give {reached!s}"
            )
    used = {i for claim in register.claims for i in claim.checks}
    idle = sorted(set(register.checks) - used)
    if idle:
        raise RegisterError(f"checks that judge no claim: {', '.join(idle)}")

"""The ledger of equations and claims: what is printed, what was checked, and the computed verdict.

A chapter opens its checks with ``chapter = verdicts.open_chapter("mean_field")`` and runs each declared check
with ``chapter.identity(name, …)`` or ``chapter.measure(name, value)``. What is declared, with its bounds, is
in ``book/study/*/claims.yml``, one file for each chapter.
"""

import os
from pathlib import Path

from book.study.chosen import IS_SHIPPED
from book.study.verdicts.chapter import Chapter, CheckFailedError, read_outcomes
from book.study.verdicts.claims import STUDY, in_order_of_the_book, known, part
from book.study.verdicts.model import (
    Bound,
    Check,
    CheckOutcome,
    Claim,
    Judgement,
    Measured,
    Scope,
    Verdict,
    above,
    below,
    identity,
    judge,
    measurement,
    within,
)
from book.study.verdicts.register import Register, RegisterError, build

__all__ = [
    "Bound",
    "Chapter",
    "Check",
    "CheckFailedError",
    "CheckOutcome",
    "Claim",
    "Judgement",
    "Measured",
    "Register",
    "RegisterError",
    "Scope",
    "Verdict",
    "above",
    "below",
    "build",
    "checks_folder",
    "identity",
    "judge",
    "measurement",
    "open_chapter",
    "read_outcomes",
    "register",
    "within",
]


def register(study: Path = STUDY) -> Register:
    """The book's register, freshly read from every topic's ``claims.yml`` and validated."""
    parts = (part(topic, study) for topic in in_order_of_the_book(known(study)))
    return build((p.chapter, p.checks, p.claims) for p in parts)


def checks_folder() -> Path | None:
    """Where outcomes are left: ``$BOOK_STATE/checks``, or None outside a build."""
    state = os.environ.get("BOOK_STATE")
    return Path(state) / "checks" if state else None


def open_chapter(name: str) -> Chapter:
    """Open a chapter's checks (its first cell): earlier outcomes of this chapter are dropped.

    Reads this chapter's declarations only, so that another chapter's wording changes nothing here.
    """
    checks = part(name).checks if name in known() else ()
    return Chapter(name, checks, checks_folder(), strict=IS_SHIPPED)

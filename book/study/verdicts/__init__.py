"""The ledger of equations and claims: what is printed, what was checked, and the computed verdict.

A chapter opens its checks with ``chapter = verdicts.open_chapter("mean_field")`` and runs each declared check
with ``chapter.identity(name, …)`` or ``chapter.measure(name, value)``. What is declared, with its bounds, is
in ``book/study/*/claims``, one module per chapter.
"""

import os
from pathlib import Path

from book.study.verdicts.chapter import Chapter, CheckFailedError, read_outcomes
from book.study.verdicts.claims import PARTS
from book.study.verdicts.model import (
    Bound,
    Check,
    Claim,
    Judgement,
    Outcome,
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
    "Claim",
    "Judgement",
    "Outcome",
    "Register",
    "RegisterError",
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


def register() -> Register:
    """The book's register, freshly built and validated."""
    return build(PARTS)


def checks_folder() -> Path | None:
    """Where outcomes are left: ``$BOOK_STATE/checks``, or None outside a build."""
    state = os.environ.get("BOOK_STATE")
    return Path(state) / "checks" if state else None


def open_chapter(name: str) -> Chapter:
    """Open a chapter's checks (its first cell): earlier outcomes of this chapter are dropped."""
    return Chapter(name, register(), checks_folder())

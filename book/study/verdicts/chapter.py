"""What a chapter does with its checks: run them, and leave their outcomes where the ledger finds them."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from book.study.numbers import number as digits
from book.study.numbers import unbroken
from book.study.verdicts.model import Bound, Check, CheckOutcome


class CheckFailedError(AssertionError):
    """An identity came out false, or a chapter ended with checks that did not run or pass."""


class Line(str):
    """A line of text that a notebook shows without quotation marks, with its ``$…$`` as mathematics."""

    __repr__ = str.__str__

    def _repr_html_(self) -> str:
        parts = (html.escape(part) for part in self.split("$"))
        maths = r'<span class="math notranslate nohighlight">\({}\)</span>'
        return "<p>" + "".join(maths.format(t) if k % 2 else t for k, t in enumerate(parts)) + "</p>"


class Chapter:
    """The checks of one chapter; creating it (in the chapter's first cell) clears what an earlier run left.

    Outcomes are kept in ``outcomes`` and, when ``folder`` is given, in ``folder/<name>.json``, rewritten
    atomically after every check. ``strict``: a false identity, or a check that did not run, is an error.

    Raises:
        ValueError: no checks are declared for a chapter of this name.
    """

    def __init__(self, name: str, checks: Iterable[Check], folder: Path | None, strict: bool = True) -> None:
        self._declared = {check.name: check for check in checks}
        if not self._declared:
            raise ValueError(
                f"no checks are declared for chapter {name!r}; book/study/{name}/claims.yml has them"
            )
        self.name = name
        self.outcomes: dict[str, CheckOutcome] = {}
        self._folder, self._strict = folder, strict
        self._write()

    @property
    def outcomes_by_id(self) -> dict[str, CheckOutcome]:
        """Outcomes so far, by check id, as :meth:`Register.judge` wants them."""
        return {outcome.check: outcome for outcome in self.outcomes.values()}

    def identity(self, name: str, holds: bool | Callable[[], Any], detail: str = "") -> Line:
        """Run an identity check: ``holds`` is a truth value or a function that returns one.

        ``detail`` is one line for the ledger (plain text, ``$…$`` for mathematics). Returns a line that
        says what was shown.

        Raises:
            CheckFailedError: it came out false. The failure is recorded first.
            TypeError: the result is not a truth value (e.g. a sympy relation left undecided).
        """
        check = self._find(name, "identity")
        try:
            passed = _truth(holds() if callable(holds) else holds, check)
        except Exception as error:
            self._record(CheckOutcome(check.id, False, None, detail, f"{type(error).__name__}: {error}"))
            raise
        self._record(CheckOutcome(check.id, passed, None, detail, "" if passed else "came out false"))
        if not passed and self._strict:
            raise CheckFailedError(f"{check.id} is false: {check.states}")
        return Line(f"{'✓' if passed else '✗'} {check.states}")

    def measure(self, name: str, value: Any, detail: str = "") -> Line:
        """Run a measurement check: compare ``value`` (one number) with the bound in the register.

        A value outside the bound is recorded and turns the build red when the ledger is drawn, so that the
        chapter still shows its figures. Returns a line with value and bound.
        """
        check = self._find(name, "measurement")
        number = float(value)
        passed = self.bound(name).accepts(number)
        self._record(CheckOutcome(check.id, passed, number, detail))
        shown, unit = digits(number), f" {check.unit}" if check.unit else ""
        return Line(f"{'✓' if passed else '✗'} {check.states}: {shown}{unit} ({unbroken(str(check.bound))})")

    def bound(self, name: str) -> Bound:
        """The bound that a measurement declares, for the page to draw or name."""
        bound = self._find(name, "measurement").bound
        assert bound is not None  # Check refuses a measurement without one
        return bound

    def complete(self) -> Line:
        """Last cell of a chapter: every declared check has run and passed.

        Raises:
            CheckFailedError: one did not; its name is in the message.
        """
        absent = [name for name in self._declared if name not in self.outcomes]
        failed = [name for name, outcome in self.outcomes.items() if not outcome.passed]
        if (absent or failed) and self._strict:
            raise CheckFailedError(f"chapter {self.name!r}: not run {absent}, failed {failed}")
        if absent or failed:
            return Line(f"✗ of {len(self._declared)} checks {len(absent)} did not run, {len(failed)} failed")
        return Line(f"✓ all {len(self.outcomes)} checks of this chapter ran and passed")

    def _find(self, name: str, kind: str) -> Check:
        check = self._declared.get(name)
        if check is None or check.kind != kind:
            known = [c.name for c in self._declared.values() if c.kind == kind]
            raise KeyError(f"chapter {self.name!r} declares no {kind} {name!r}; it declares {known}")
        return check

    def _record(self, outcome: CheckOutcome) -> None:
        self.outcomes[outcome.check.partition("/")[2]] = outcome
        self._write()

    def _write(self) -> None:
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self.name}.json"
        draft = path.with_suffix(f".{os.getpid()}.part")
        draft.write_text(
            json.dumps([asdict(o) for o in self.outcomes.values()], indent=1, ensure_ascii=False),
            encoding="utf-8",
        )
        draft.replace(path)


def read_outcomes(folder: Path) -> dict[str, CheckOutcome]:
    """All outcomes that chapters left in ``folder``, by check id; empty when there is no such folder."""
    found: dict[str, CheckOutcome] = {}
    for path in sorted(folder.glob("*.json")):
        for entry in json.loads(path.read_text(encoding="utf-8")):
            found[entry["check"]] = CheckOutcome(**entry)
    return found


def _truth(result: Any, check: Check) -> bool:
    # bool, numpy.bool and sympy's true and false; a number or an undecided relation is a mistake, not a proof
    if type(result).__name__ not in ("bool", "bool_", "BooleanTrue", "BooleanFalse"):
        raise TypeError(
            f"{check.id}: expected a truth value, got {result!r}; reduce it to True or False first"
        )
    return bool(result)

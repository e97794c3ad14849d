"""What an exercise is, and how an answer is judged.

An entry computes its right answer and the wrong answers that people usually give, each under the sentence
that says what went wrong. An answer that is neither is compared with slips that can happen anywhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

Answer = Any  # a number, an array, a sympy expression, a function, or a word
Array = NDArray[np.float64]
LEVELS = {1: "warm-up", 2: "derivation or experiment", 3: "research"}

SLIPS: dict[str, Callable[[Array], Array]] = {
    "The sign is the other way round.": lambda v: -v,
    "That is the square of the answer: a square root is missing.": lambda v: v**2,
    "That is the square root of the answer.": lambda v: np.sqrt(v),
    "That is one over the answer.": lambda v: 1 / v,
    "That is one minus the answer: what goes, not what stays, or the other way round.": lambda v: 1 - v,
    "That is in bits: take the natural logarithm, not log2.": lambda v: v / np.log(2),
    "That is a logarithm to base ten: take the natural one.": lambda v: v / np.log(10),
    "That is in degrees; radians are asked for.": lambda v: np.degrees(v),
    "That is in radians; degrees are asked for.": lambda v: np.radians(v),
    "That is in per cent; a plain number is asked for.": lambda v: 100 * v,
    "That is the logarithm of the answer.": lambda v: np.log(v),
    "That is the exponential of the answer.": lambda v: np.exp(v),
    "Twice the answer: something is counted double, or a factor one half is missing.": lambda v: 2 * v,
    "Half the answer: something is counted half, or a factor two is missing.": lambda v: v / 2,
    "One too many: count again where you begin and where you end.": lambda v: v + 1,
    "One too few: count again where you begin and where you end.": lambda v: v - 1,
    "These are the sums; means are asked for.": lambda v: v * v.shape[-1] if v.ndim else v,
    "The two axes are exchanged.": lambda v: v.T,
    "The right numbers in the wrong order.": lambda v: v[::-1] if v.ndim else v,
}


class NotYet(AssertionError):
    """An answer that is not right; the message says why. A notebook shows the message alone."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return [f"Not yet. {self}"]


class ExerciseError(ValueError):
    """An entry that cannot be used, or a name that no entry has."""


class _Unreadable(Exception):
    """An answer that cannot be compared; the message says what is expected."""


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        name: the label of its block in the chapter.
        title: as in the chapter.
        level: 1, 2 or 3, a key of `LEVELS`.
        needs: terms of the glossary that it takes for granted.
        answer: what is handed in, in words; empty where no one answer is right.
        right: computes the right answer, from what `check` is given beside the answer.
        traps: what went wrong -> computes the answer that one then has.
        tolerance: relative error that is still right.
        at: arguments at which functions are compared.
        example: what `check` may be given, to try the entry without its chapter.
    Raises:
        ExerciseError: a level that does not exist, or an answer without a way to judge it.
    """

    name: str
    title: str
    level: int
    needs: tuple[str, ...]
    answer: str = ""
    right: Callable[..., Answer] | None = None
    traps: Mapping[str, Callable[..., Answer]] = field(default_factory=dict)
    tolerance: float = 1e-6
    at: tuple[tuple[Any, ...], ...] = ()
    example: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ExerciseError(f"{self.name}: level {self.level} is none of {sorted(LEVELS)}")
        if bool(self.answer) != (self.right is not None):
            raise ExerciseError(f"{self.name}: what is handed in and what is right are given together")
        if self.right is not None and len(self.traps) < 2:
            raise ExerciseError(f"{self.name}: name at least two wrong answers, each with what went wrong")

    @property
    def checked(self) -> bool:
        """Whether `check` can judge it."""
        return self.right is not None

    def judge(self, answer: Answer, **given: Any) -> str:
        """What is wrong with an answer; empty when it is right.

        Raises:
            ExerciseError: nothing can be handed in, or ``given`` is not what the entry needs.
        """
        if self.right is None:
            raise ExerciseError(f"{self.name} has no one right answer: compare with the solution and discuss")
        if set(given) != set(self.example):
            needed = ", ".join(f"{name}=…" for name in self.example) or "nothing else"
            raise ExerciseError(f"{self.name}: give check the answer and {needed}")
        right = self.right(**given)
        if isinstance(right, str):
            return self._word(answer, right, given)
        try:
            mine, wanted = self._values(answer, right), self._values(right, right)
        except _Unreadable as reason:
            return str(reason)
        if self._same(mine, wanted):
            return ""
        for message, wrong in self.traps.items():
            if self._same(mine, self._values(wrong(**given), right)):
                return message
        return self._slip(mine, wanted) or _difference(mine, wanted)

    def _word(self, answer: Answer, right: str, given: Mapping[str, Any]) -> str:
        said = " ".join(str(answer).lower().split())
        if said == right:
            return ""
        known = {wrong(**given): message for message, wrong in self.traps.items()}
        return known.get(said) or f"{said!r} is none of the answers to choose from: {self.answer}."

    def _values(self, answer: Answer, right: Answer) -> Array:
        """An answer as numbers: functions at `at`, expressions at fixed values of their symbols."""
        if callable(right) and not isinstance(right, sp.Basic):
            if not callable(answer):
                raise _Unreadable(f"Hand in a function, {self.answer}, not {type(answer).__name__}.")
            return _numbers([np.ravel(_called(answer, arguments)) for arguments in self.at])
        if isinstance(right, sp.Basic) and right.free_symbols:
            return _evaluated(answer, right)
        return _numbers(answer)

    def _same(self, mine: Array, other: Array) -> bool:
        return mine.shape == other.shape and np.allclose(mine, other, self.tolerance, 1e-12, equal_nan=True)

    def _slip(self, mine: Array, wanted: Array) -> str:
        with np.errstate(all="ignore"):
            for message, slipped in SLIPS.items():
                other = slipped(wanted)
                if np.isfinite(other).all() and not self._same(other, wanted) and self._same(mine, other):
                    return message
        return ""


class Sheet:
    """The exercises of one chapter, in its order.

    Args:
        chapter: the name of the page.
    """

    def __init__(self, chapter: str, *exercises: Exercise) -> None:
        self.chapter = chapter
        self.exercises: Mapping[str, Exercise] = {exercise.name: exercise for exercise in exercises}
        if len(self.exercises) < len(exercises):
            raise ExerciseError(f"{chapter}: two exercises bear one name")

    def check(self, name: str, answer: Answer, **given: Any) -> None:
        """Print that an answer is right.

        Args:
            name: of the exercise.
            answer: a number, an array, a sympy expression, a function or a word; the exercise says which.
            given: what the answer depends on, where the exercise names it.
        Raises:
            NotYet: it is not; the message says why.
            ExerciseError: the chapter has no such exercise, or it cannot be judged.
        """
        if name not in self.exercises:
            raise ExerciseError(f"no exercise {name!r} here; there are: {', '.join(self.exercises)}")
        if message := self.exercises[name].judge(answer, **given):
            raise NotYet(message)
        print(f"Right: {name}.")


def _numbers(answer: Answer) -> Array:
    detached = answer.detach().cpu() if hasattr(answer, "detach") else answer
    try:
        found = np.asarray(detached, dtype=float)
    except (TypeError, ValueError):
        raise _Unreadable(f"Hand in numbers, not {type(answer).__name__} like {answer!r:.60}.") from None
    return found


def _called(function: Callable[..., Answer], arguments: Sequence[Any]) -> Array:
    try:
        return _numbers(function(*arguments))
    except TypeError as error:
        raise _Unreadable(
            f"Your function cannot be called with {len(arguments)} arguments: {error}."
        ) from None


def _evaluated(answer: Answer, right: sp.Basic) -> Array:
    """At three fixed values of each symbol, found by name: assumptions about symbols do not matter."""
    names = sorted(str(symbol) for symbol in right.free_symbols)
    try:
        expression = sp.sympify(answer, locals={name: sp.Symbol(name) for name in names})
    except (sp.SympifyError, TypeError):
        raise _Unreadable(f"Hand in an expression, not {answer!r:.60}.") from None
    if unknown := sorted({str(s) for s in expression.free_symbols} - set(names)):
        raise _Unreadable(f"Your expression has {', '.join(unknown)}; use only {', '.join(names)}.")
    values = []
    for shift in (0.0, 0.21, 0.38):
        at = {name: 0.31 + shift + 0.17 * place for place, name in enumerate(names)}
        found = expression.subs({s: at[str(s)] for s in expression.free_symbols})
        values.append(complex(found).real)
    return np.array(values)


def _difference(mine: Array, wanted: Array) -> str:
    """What can be said without giving the answer away."""
    if mine.shape != wanted.shape:
        return f"The shape is {mine.shape}; the answer has the shape {wanted.shape}."
    if not np.isfinite(mine).all():
        return "It is not finite: look for a logarithm of zero, a division by zero or an overflow."
    off = np.flatnonzero(~np.isclose(mine, wanted, 1e-6).ravel())
    first = int(off[0]) if off.size else 0
    which = f"Entry {first} of {mine.size}" if mine.ndim else "Your number"
    side = "large" if mine.ravel()[first] > wanted.ravel()[first] else "small"
    return f"{which} is too {side}, and not by a slip that is known here: go through the steps once more."

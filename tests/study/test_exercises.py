"""Each checker knows its right answer and, by name, the usual wrong ones."""

import importlib
import math
import re

import numpy as np
import pytest
import sympy as sp
import torch

from book.study.exercises.model import Exercise, ExerciseError, NotYet, Sheet
from lib.records import ROOT

FOLDER = ROOT / "book" / "study" / "exercises"
CHAPTERS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in {"__init__", "model"})
SHEETS = [importlib.import_module(f"book.study.exercises.{chapter}").SHEET for chapter in CHAPTERS]
ENTRIES = [exercise for sheet in SHEETS for exercise in sheet.exercises.values()]
CHECKED = [exercise for exercise in ENTRIES if exercise.checked]


@pytest.mark.slow
@pytest.mark.parametrize("exercise", CHECKED, ids=lambda exercise: exercise.name)
def test_right_passes_and_each_wrong_answer_is_told_why(exercise: Exercise) -> None:
    given = exercise.example
    assert exercise.judge(exercise.right(**given), **given) == ""
    assert len(exercise.traps) >= 2
    for message, wrong in exercise.traps.items():
        assert exercise.judge(wrong(**given), **given) == message


def test_at_least_sixty_are_checked() -> None:
    assert len(CHECKED) >= 60
    assert len({exercise.name for exercise in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.chapter)
def test_each_block_of_a_chapter_has_its_entry_and_its_solution_checks(sheet: Sheet) -> None:
    text = (ROOT / "book" / f"{sheet.chapter}.md").read_text(encoding="utf-8")
    labels = re.findall(r"^```\{exercise(?:-start)?\}.*\n:label: (\S+)", text, re.MULTILINE)
    assert labels == list(sheet.exercises)
    for name, exercise in sheet.exercises.items():
        body = text.split(f"{{solution-start}} {name}\n")[-1].split("{solution-end}")[0]
        assert (
            f'check("{name}", ' in re.sub(r"\s+", " ", body.replace("check(\n    ", "check("))
        ) == exercise.checked, name
    imported = f"from book.study.exercises.{sheet.chapter} import check" in text
    assert imported == any(exercise.checked for exercise in sheet.exercises.values())


def number(right: object, **more: object) -> Exercise:
    far = (lambda *_: 77) if callable(right) and not isinstance(right, sp.Basic) else 77
    return Exercise(
        "n", "N", 1, (), "a number", lambda: right, {"A.": lambda: far, "B.": lambda: far}, **more
    )


@pytest.mark.parametrize(
    ("answer", "right", "said"),
    [
        (9.0, 3.0, "square root is missing"),
        (math.log2(5.0), math.log(5.0), "natural logarithm"),
        (-2.5, 2.5, "sign"),
        (0.3, 0.7, "one minus"),
        (0.25, 4.0, "one over"),
        (45.0, math.pi / 4, "radians are asked"),
        (12.5, 0.125, "per cent"),
        (8, 7, "One too many"),
        (np.array([3.0, 6.0, 12.0]), np.array([1.0, 2.0, 4.0]), "means are asked"),
        (np.array([[1.0, 3], [2, 4]]), np.array([[1.0, 2], [3, 4]]), "axes are exchanged"),
        (np.array([4.0, 2, 1]), np.array([1.0, 2, 4]), "wrong order"),
        (np.ones(3), np.ones(4), "The shape is (3,)"),
        (math.nan, 3.0, "not finite"),
        (3.3, 3.0, "too large"),
        ("many", 3.0, "Hand in numbers"),
    ],
)
def test_slips_that_can_happen_anywhere(answer: object, right: object, said: str) -> None:
    assert said in number(right).judge(answer)


def test_tensors_count_as_numbers() -> None:
    assert number(3.0).judge(torch.tensor(3.0, requires_grad=True)) == ""


def test_expressions_are_compared_by_value_and_by_the_names_of_symbols() -> None:
    x = sp.Symbol("x", positive=True)
    entry = number((x + 1) ** 2)
    assert entry.judge(sp.Symbol("x") ** 2 + 2 * sp.Symbol("x") + 1) == ""
    assert entry.judge("x**2 + 2*x + 1") == ""
    assert "has y" in entry.judge(sp.Symbol("y"))
    assert "Hand in an expression" in entry.judge("x +* 1")


def test_functions_are_called_at_the_points_of_the_entry() -> None:
    entry = number(lambda a, b: a - b, at=((1, 2), (3, 5)))
    assert entry.judge(lambda p, q: p - q) == ""
    assert "sign" in entry.judge(lambda p, q: q - p)
    assert "2 arguments" in entry.judge(lambda p: p)
    assert "Hand in a function" in entry.judge(3)


def test_a_sheet_prints_what_is_right_and_raises_what_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    sheet = Sheet("page", number(3.0))
    sheet.check("n", 3)
    assert capsys.readouterr().out == "Right: n.\n"
    with pytest.raises(NotYet, match="sign") as found:
        sheet.check("n", -3)
    assert found.value._render_traceback_() == ["Not yet. The sign is the other way round."]


def test_bad_entries_and_names_are_told() -> None:
    with pytest.raises(ExerciseError, match="level 4"):
        Exercise("a", "A", 4, ())
    with pytest.raises(ExerciseError, match="at least two wrong answers"):
        Exercise("a", "A", 1, (), "a number", lambda: 1.0)
    with pytest.raises(ExerciseError, match="given together"):
        Exercise("a", "A", 1, (), "a number")
    with pytest.raises(ExerciseError, match="bear one name"):
        Sheet("page", number(1.0), number(2.0))
    with pytest.raises(ExerciseError, match="there are: n"):
        Sheet("page", number(1.0)).check("m", 1)
    with pytest.raises(ExerciseError, match="no one right answer"):
        Exercise("a", "A", 3, ()).judge(1)
    with pytest.raises(ExerciseError, match="nothing else"):
        number(1.0).judge(1, d=2)

"""Exercises of the page on what the printed record can carry."""

import math

from book.study.exercises.model import Exercise, Sheet
from book.study.paper import printed


def _rows() -> int:
    return len(printed.table_1("m"))


SHEET = Sheet(
    "printed_evidence",
    Exercise(
        "evidence-baseline",
        "A row that is missing",
        1,
        ("fusion strength",),
        answer="the m of that row",
        right=lambda: 0.0,
        traps={
            "That row would only compare merged runs once more.": lambda: max(printed.table_1("m")),
            "That row is printed.": lambda: min(printed.table_1("m")),
            "Nothing would be left to attend to.": lambda: 1.0,
        },
    ),
    Exercise(
        "evidence-monotone",
        "Two rising columns",
        1,
        ("rank correlation",),
        answer="the probability",
        right=lambda: 1 / math.factorial(_rows()),
        traps={
            "The second quantity's values are all different: orderings, not pairs of places.": lambda: (
                1 / _rows() ** 2
            ),
            "That counts the opposite ordering too.": lambda: 2 / math.factorial(_rows()),
            "One ordering is given; the last place is then forced.": lambda: 1 / math.factorial(_rows() - 1),
        },
    ),
    Exercise("evidence-loss", "A factor without an equation", 2, ("prediction",)),
    Exercise("evidence-register", "Break the register", 2, ("verdict",)),
)
check = SHEET.check

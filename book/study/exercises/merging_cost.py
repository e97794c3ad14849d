"""Exercises of the chapter on what merging costs."""

import numpy as np
import sympy as sp

from book.study.exercises.model import Exercise, Sheet
from book.study.paper import printed

TRIP = np.array([[1.0, 0.0], [0.5, 0.5]])  # rows: the protected destination, the source


def _reductions() -> np.ndarray:
    return np.array([printed.value("example_reduction"), 2.0])


def _last_square() -> float:
    return round((1 - max(printed.table_2("m"))) ** 2, printed.decimals(2, "runtime"))


SHEET = Sheet(
    "merging_cost",
    Exercise(
        "cost-ex-tenfold",
        "Ten times fewer pairs",
        1,
        ("merge factor", "pairs"),
        answer="the two fusion strengths m, for the printed factor and for one half",
        right=lambda: 1 - _reductions() ** -0.5,
        traps={
            "Pairs fall with the square of d: the square root is missing.": lambda: 1 - 1 / _reductions(),
            "That is the fraction that is kept; m is what goes.": lambda: _reductions() ** -0.5,
            "These are the merge factors d; m = 1 − 1/d.": lambda: _reductions() ** 0.5,
        },
    ),
    Exercise(
        "cost-ex-keys",
        "Merging keys only",
        2,
        ("pairs", "kept fraction"),
        answer="the cost of thinning keys only minus (x + x²)/2, in x",
        right=lambda: sp.sympify("x - (x + x**2)/2"),
        traps={
            "Step 2 is (x + x²)/2; the half is missing.": lambda: sp.sympify("x - (x + x**2)"),
            "Only keys are thinned, so N·N′ pairs are left and not N′².": lambda: sp.sympify(
                "x**2 - (x + x**2)/2"
            ),
            "That is the cost itself; subtract that of step 2.": lambda: sp.sympify("x"),
        },
    ),
    Exercise(
        "cost-ex-rounding",
        "A square, rounded?",
        1,
        ("pairs",),
        answer="what the last row of Table 2 would print if runtime were a square",
        right=_last_square,
        traps={
            "That is what the table prints.": lambda: printed.table_2("runtime")[-1],
            "That is linear in what is kept; square it.": lambda: round(1 - max(printed.table_2("m")), 6),
        },
    ),
    Exercise(
        "cost-ex-roundtrip",
        "A round trip that is no projection",
        2,
        ("destination", "protected token"),
        answer="the weights of p and of q in the source after two round trips",
        right=lambda: (TRIP @ TRIP)[1],
        traps={
            "That is one trip; the second averages p with what the source has become.": lambda: TRIP[1],
            "The source drifts towards the protected token, not away from it.": lambda: (TRIP @ TRIP)[
                1, ::-1
            ],
        },
    ),
    Exercise("cost-ex-regions", "Matching within groups of frames", 3, ("destination", "merging")),
)
check = SHEET.check

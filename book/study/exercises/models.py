"""Exercises of the chapter on the trained network."""

import numpy as np
import sympy as sp

from book.study.exercises.model import Exercise, Sheet


def _weighted_median(depth) -> float:
    d = np.sort(np.asarray(depth, dtype=float).ravel())
    weights = np.cumsum(1 / d)
    return float(d[np.searchsorted(weights, weights[-1] / 2)])


def _least(term: str) -> sp.Expr:
    """Where a loss, in c, e and alpha, is stationary."""
    c, e, alpha = sp.symbols("c e alpha", positive=True)
    return sp.solve(sp.diff(sp.sympify(term, locals={"c": c, "e": e, "alpha": alpha}), c), c)[0]


SHEET = Sheet(
    "models",
    Exercise(
        "mini-ex-three",
        "Three frames",
        1,
        ("ATE",),
        answer="how many numbers are left of three camera centres after the alignment",
        right=lambda: 3 * 3 - (3 + 3 + 1),
        traps={
            "Rotation and translation are six numbers; the scale is fitted too.": lambda: 3 * 3 - (3 + 3),
            "Those are the numbers before the alignment.": lambda: 3 * 3,
            "The centres are moved as well: a translation has three numbers.": lambda: 3 * 3 - (3 + 1),
        },
    ),
    Exercise(
        "mini-ex-identity",
        "A hard baseline",
        1,
        ("trivial baseline",),
        answer="the powers of S for constant speed and for a random walk",
        right=lambda: [1.0, 0.5],
        traps={
            "The other way round: steps in one direction add up, random ones partly cancel.": lambda: [
                0.5,
                1.0,
            ],
            "Those are the powers of the squared angle.": lambda: [2.0, 1.0],
        },
    ),
    Exercise(
        "mini-ex-constant",
        "The best constant",
        2,
        ("AbsRel", "trivial baseline"),
        answer="the constant c for the depths that you give as d",
        right=lambda d: _weighted_median(d),
        traps={
            "That is the plain median: near pixels weigh more, by 1/D.": lambda d: float(
                np.median(np.asarray(d))
            ),
            "That is the mean; the absolute value asks for a median.": lambda d: float(
                np.mean(np.asarray(d))
            ),
            "That is the harmonic mean; it minimises squared relative errors of 1/D.": lambda d: float(
                1 / np.mean(1 / np.asarray(d, dtype=float))
            ),
        },
        example={"d": np.linspace(0.5, 6.0, 101) ** 1.5},
    ),
    Exercise(
        "mini-ex-permute",
        "Which frame comes first",
        2,
        ("reference frame",),
        answer='which frame should come first: "first", "middle" or "last"',
        right=lambda: "middle",
        traps={
            "From the first frame the far end of the walk is farthest away.": lambda: "first",
            "The last frame is as far from the other end as the first.": lambda: "last",
        },
    ),
    Exercise(
        "mini-ex-confidence",
        "What confidence learns",
        2,
        ("confidence",),
        answer="the c that minimises the loss, in alpha and e",
        right=lambda: _least("c*e - alpha*log(c)"),
        traps={
            "Upside down: large errors ask for small confidence.": lambda: sp.sympify(
                "e/alpha", locals={"e": sp.Symbol("e")}
            ),
            "The weight α of the logarithm is missing.": lambda: _least("c*e - log(c)"),
        },
    ),
    Exercise("mini-ex-company", "Distance, or number?", 3, ("dilution", "reference frame")),
)
check = SHEET.check

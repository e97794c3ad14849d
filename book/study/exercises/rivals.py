"""Exercises of the chapter on rival explanations."""

import sympy as sp

from book.study.exercises.model import Exercise, Sheet

SHEET = Sheet(
    "rivals",
    Exercise(
        "rv-ex-copies",
        "Copies of all keys",
        1,
        ("row entropy", "softmax"),
        answer="what c copies add to the row entropy, in c",
        right=lambda: sp.log(sp.Symbol("c", positive=True)),
        traps={
            "Entropies add logarithms: c keys for one add ln c.": lambda: sp.Symbol("c"),
            "The output does not move, but the entropy counts copies as different keys.": lambda: sp.Integer(
                0
            ),
            "That is in bits: take the natural logarithm.": lambda: sp.log(sp.Symbol("c")) / sp.log(2),
        },
    ),
    Exercise("rv-ex-yardstick", "How much is the yardstick?", 2, ("prediction",)),
    Exercise(
        "rv-ex-confound",
        "A trap in partial correlations",
        3,
        ("rank correlation",),
        answer='what wins: "less noise", "the cause" or "both alike"',
        right=lambda: "less noise",
        traps={
            "Put a less noisy copy in its place: it wins as well.": lambda: "the cause",
            "The noisier copy keeps almost nothing once the other is given.": lambda: "both alike",
        },
    ),
)
check = SHEET.check

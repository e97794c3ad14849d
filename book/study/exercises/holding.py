"""Exercises of the chapter on the block that holds on."""

import sympy as sp

from book.study.exercises.model import Exercise, Sheet

L = sp.Symbol("L", positive=True)

SHEET = Sheet(
    "holding",
    Exercise(
        "ho-ex-quarter",
        "A quarter left",
        1,
        ("dilution",),
        answer="the number of frames",
        right=lambda: 90,
        traps={
            "The share is not proportional to 1/S: solve 30 / (30 + S) = 1/4.": lambda: 60,
            "That many frames more; asked for is how many they are in all.": lambda: 120,
        },
    ),
    Exercise(
        "ho-ex-steepest",
        "The steepest loss",
        2,
        ("row entropy",),
        answer="the largest power, in L",
        right=lambda: (1 + L) ** 2 / (4 * L),
        traps={
            "That is the share at which it is largest; asked for is the power.": lambda: (L - 1) / (2 * L),
            "At a share of one half it is not largest yet.": lambda: (2 + L) / 4,
        },
    ),
    Exercise("ho-ex-read", "Read a hold", 2, ("dilution",)),
)
check = SHEET.check

"""Exercises of the chapter on reconstruction."""

import numpy as np
import sympy as sp

from book.study.exercises.model import Exercise, Sheet

DRAWN = np.array([3, 5, 5, 6, 7, 2, 4, 5])

SHEET = Sheet(
    "reconstruction",
    Exercise("reconstruction-ex-pairs", "Without pairs", 1, ("paired comparison", "bootstrap interval")),
    Exercise(
        "reconstruction-ex-coupled",
        "The trap of coupled errors",
        2,
        ("paired comparison", "rank correlation"),
        answer="the correlations with the first error and with the mean",
        right=lambda: [float(-1 / sp.sqrt(2)), 0.0],
        traps={
            "You divided by the variances: √2 is the standard deviation of the difference.": lambda: [
                -0.5,
                0.0,
            ],
            "The mean treats both runs alike, so nothing is left.": lambda: [float(-1 / sp.sqrt(2))] * 2,
            "The sign: a first error that is large by chance makes the change negative.": lambda: [
                float(1 / sp.sqrt(2)),
                0.0,
            ],
        },
    ),
    Exercise(
        "reconstruction-ex-flips",
        "Exchange merged and unmerged",
        3,
        ("paired comparison", "p-value"),
        answer="the one-sided p-value of the counts that you give as measured and chance",
        right=lambda measured, chance: float((np.asarray(chance) >= measured).mean()),
        traps={
            "Draws that reach the measured count belong to it: ≥, not >.": lambda measured, chance: float(
                (np.asarray(chance) > measured).mean()
            ),
            "That is the share of draws that stay at or below it.": lambda measured, chance: float(
                (np.asarray(chance) <= measured).mean()
            ),
        },
        example={"measured": 5, "chance": DRAWN},
    ),
)
check = SHEET.check

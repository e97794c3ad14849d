"""Exercises of the page that lays the paper beside measurements."""

import numpy as np

from book.study.exercises.model import Exercise, Sheet

SHEET = Sheet(
    "paper_against_measurement",
    Exercise(
        "pm-ex-m0",
        "What a single row would add",
        1,
        ("effective rank", "kept fraction"),
        answer="the steps between the ranks that you give",
        right=lambda ranks: np.diff(ranks),
        traps={
            "Later minus earlier: the sign is the other way round.": lambda ranks: -np.diff(ranks),
            "Those are changes from m = 0; steps go from one row to the next.": lambda ranks: (
                np.asarray(ranks)[1:] - ranks[0]
            ),
        },
        example={"ranks": [10.0, 13.0, 14.0, 16.5]},
    ),
)
check = SHEET.check

"""Exercises of the chapter on predictions."""

import numpy as np

from book.study.exercises.model import Exercise, Sheet

SURE = ("P2", "P3a", "P3b", "P6a")  # hold for any weights
WORDS = dict.fromkeys(("P1", "P2", "P5", "P6"), "as predicted") | dict.fromkeys(
    ("P3a", "P4", "P7"), "refuted"
)
LENGTH = np.array([0.1, -0.5, 0.3, -0.05, 0.6, 0.02, 0.7, 0.01])
CHANGE = np.array([-1.0, 2.0, 1.0, -0.3, -2.0, -0.1, -1.0, 0.1])


def _kept(judged, without=SURE, word: str = "as predicted") -> int:
    return sum(said == word for name, said in judged.items() if name not in without)


def _right(length, change, larger: bool | None = True) -> int:
    length, change = np.asarray(length), np.asarray(change)
    large = np.abs(length) >= np.median(np.abs(length))
    use = np.ones_like(large) if larger is None else large == larger
    return int(((change < 0) == (length > 0))[use].sum())


SHEET = Sheet(
    "predictions",
    Exercise(
        "pred-ex-risk",
        "What was risked",
        1,
        ("prediction",),
        answer="how many risky quantities came out as predicted, of those that you give as judged",
        right=lambda judged: _kept(judged),
        traps={
            "Those that hold for any weights are counted too.": lambda judged: _kept(judged, without=()),
            "These are the quantities that are left, whatever became of them.": lambda judged: sum(
                name not in SURE for name in judged
            ),
            "These are the refuted ones.": lambda judged: _kept(judged, word="refuted"),
        },
        example={"judged": WORDS},
    ),
    Exercise(
        "pred-ex-sign",
        "Larger differences",
        2,
        ("prediction", "merging"),
        answer="how many signs of the larger half are right, for length and change",
        right=lambda length, change: _right(length, change),
        traps={
            "That is the smaller half.": lambda length, change: _right(length, change, larger=False),
            "Those are all cases.": lambda length, change: _right(length, change, larger=None),
            "The sign: a longer mean means less spread.": lambda length, change: _right(
                length, -np.asarray(change)
            ),
        },
        example={"length": LENGTH, "change": CHANGE},
    ),
    Exercise("pred-ex-frame-zero", "Take frame 0 away", 3, ("reference frame", "spread")),
)
check = SHEET.check

"""Exercises of the chapter on the corrected theory of merging."""

from fractions import Fraction

from book.study.exercises.model import Exercise, Sheet

FRAMES, COPIES = 8, 10

SHEET = Sheet(
    "corrected_merging",
    Exercise(
        "ct-ex-duplicates",
        "Frames that repeat",
        1,
        ("size bias", "merging"),
        answer="the mass of the one frame that is repeated, before merging",
        right=lambda: float(Fraction(COPIES, COPIES + FRAMES - 1)),
        traps={
            "That is its mass after merging without size bias.": lambda: 1 / FRAMES,
            "The frame is one of the eight: seven others stand beside its ten copies.": lambda: (
                COPIES / (COPIES + FRAMES)
            ),
            "These are its odds; a mass is a share of all.": lambda: COPIES / (FRAMES - 1),
        },
    ),
    Exercise(
        "ct-ex-query",
        "Keys only",
        2,
        ("merging", "destination"),
        answer='the side that bears it up to m*: "keys", "queries" or "both"',
        right=lambda: "keys",
        traps={
            "Up to m* queries of one group are alike, so averaging them changes little.": lambda: "queries",
            "Leave all queries in: the layers hardly change.": lambda: "both",
        },
    ),
    Exercise("ct-ex-research", "A criterion for large β", 3, ("merging", "inverse temperature")),
)
check = SHEET.check

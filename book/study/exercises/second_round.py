"""Exercises of the chapter on the second round of predictions."""

from book.study.exercises.model import Exercise, Sheet

FOUND = ["as predicted", "refuted", None, "as predicted", "not decided", "as predicted", None]

SHEET = Sheet(
    "second_round",
    Exercise(
        "sr-ex-risk",
        "Risky predictions, kept",
        1,
        ("prediction",),
        answer="how many of the words that you give as found say that a prediction was kept",
        right=lambda found: found.count("as predicted"),
        traps={
            "What was not run is not kept.": lambda found: found.count("as predicted") + found.count(None),
            "These are the refuted ones.": lambda found: found.count("refuted"),
            "What could not be decided was neither kept nor refuted.": lambda found: (
                len(found) - found.count("refuted") - found.count(None)
            ),
        },
        example={"found": FOUND},
    ),
    Exercise("sr-ex-network", "Refute us", 3, ("prediction",)),
)
check = SHEET.check

"""Exercises of the chapter on networks of other seeds, shapes and designs."""

from math import factorial, log

from book.study.exercises.model import Exercise, Sheet

SHEET = Sheet(
    "networks",
    Exercise(
        "ne-ex-power",
        "A power from two numbers",
        1,
        ("dilution",),
        answer="the power of the number of frames",
        right=lambda: log(480 / 60) / log(128 / 8),
        traps={
            "That is the ratio of the two ratios; a power is a ratio of their logarithms.": lambda: 8 / 16,
            "Upside down: the logarithm of the keys stands above.": lambda: log(16) / log(8),
        },
    ),
    Exercise(
        "ne-ex-luck",
        "By luck",
        2,
        ("p-value",),
        answer="the probability",
        right=lambda: factorial(3) ** 3 / factorial(9),
        traps={
            "Within a group any order will do: there are 3! each.": lambda: 1 / factorial(9),
            "The order of the groups is asked for, so it must not be free.": lambda: (
                factorial(3) ** 4 / factorial(9)
            ),
            "That is for two groups of three; here are three groups.": lambda: 1 / 20,
        },
    ),
    Exercise(
        "ne-ex-pair",
        "One cause at a time",
        2,
        ("reference frame",),
        answer="the name of one network: mini, to12-seed1, equivariant-seed0 or equivariant-to4-seed0",
        right=lambda: "equivariant-to4-seed0",
        traps={
            "It has no reference frame, but saw more frames in training: two causes at once.": lambda: (
                "equivariant-seed0"
            ),
            "It has a reference frame, too; what differs is the number of frames in training.": lambda: (
                "mini"
            ),
            "It has a reference frame, too, and saw more frames in training.": lambda: "to12-seed1",
        },
    ),
    Exercise("ne-ex-hold", "What builds the hold", 3, ("dilution",)),
)
check = SHEET.check

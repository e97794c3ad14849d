"""Exercises of the chapter on rules and budgets."""

import math

from book.study.exercises.model import Exercise, Sheet
from lib.merging import FastVGGTRule, TokenLayout


def _split(pairs: float) -> float:
    """m at which (1 - m)(1 - m/2) is a given share of the pairs."""
    return 1.5 - math.sqrt(0.25 + 2 * pairs)


def _floor(frames: int, squared: bool = True) -> float:
    """The least share of the pairs that the released rule can leave, at 6 x 6 patches."""
    layout = TokenLayout(frames, 6, 6)
    rule = FastVGGTRule(0.0)
    kept = FastVGGTRule(rule.largest_m(layout)).kept(layout)
    return kept**2 if squared else kept


SHEET = Sheet(
    "frontier",
    Exercise(
        "frontier-ex-equal",
        "Equal pairs, unequal m",
        1,
        ("merging", "fusion strength"),
        answer="m of uniform, grid and split, in this order, at a quarter of the pairs",
        right=lambda: [0.5, 0.75, _split(0.25)],
        traps={
            "Uniform merges queries as well as keys: pairs are the square of what is kept.": lambda: [
                0.75,
                0.75,
                _split(0.25),
            ],
            "Split drops m of the keys and m/2 of the queries: solve (1 − m)(1 − m/2) = 1/4.": lambda: [
                0.5,
                0.75,
                0.5,
            ],
            "Grid leaves the queries: its pairs are 1 − m, without a square.": lambda: [
                0.5,
                1 - math.sqrt(0.25),
                _split(0.25),
            ],
        },
        tolerance=1e-3,
    ),
    Exercise(
        "frontier-ex-floor",
        "What protections forbid",
        2,
        ("merging", "destination"),
        answer="the least share of the pairs that the released rule leaves, 64 frames of 6 × 6 patches",
        right=lambda: _floor(64),
        traps={
            "That is the share of rows; pairs are its square.": lambda: _floor(64, squared=False),
            "That is the floor at 8 frames; frame 0 weighs more there.": lambda: _floor(8),
        },
        tolerance=1e-3,
    ),
    Exercise("frontier-ex-yours", "Your network", 3, ("merging", "size bias")),
)
check = SHEET.check

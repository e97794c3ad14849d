"""Exercises of the chapter for users of VGGT."""

import sympy as sp

from book.study.exercises.model import Exercise, Sheet
from lib.costs.operations import forward_operations
from lib.merging import TokenLayout
from lib.vggt import VGGTConfig


def _frames(share: float, embedding: bool = False) -> int:
    """Frames from which on global attention is over this share of VGGT-1B's blocks."""
    config = VGGTConfig()
    for frames in range(1, 2000):
        counted = forward_operations(config, TokenLayout(frames, 28, 37))
        if counted.global_attention > share * (counted.total if embedding else counted.alternating):
            return frames
    raise AssertionError("any share below one is reached by then")


SHEET = Sheet(
    "practice",
    Exercise(
        "pr-ex-share",
        "Half of the operations",
        1,
        ("global attention", "operations"),
        answer="the number of frames for VGGT-1B",
        right=lambda: _frames(1 / 2),
        traps={
            "The embedding is no part of the alternating blocks.": lambda: _frames(1 / 2, embedding=True),
            "That is two thirds: global attention is then twice the rest, not equal to it.": lambda: _frames(
                2 / 3
            ),
        },
    ),
    Exercise(
        "pr-ex-bound",
        "A bound, and its slack",
        2,
        ("destination", "merging"),
        answer="what is left of the bound, as a share of it, in s",
        right=lambda: sp.simplify(sp.sympify("(s - s/(s + 1)**2*(s + 1)) / s")),
        traps={
            "That is what the mean saves; the rest is left.": lambda: sp.sympify("1/(s + 1)"),
            "One half is the case of pairs, s = 1.": lambda: sp.Rational(1, 2) + 0 * sp.Symbol("s"),
            "The destination belongs to the group: divide by s + 1.": lambda: sp.sympify("(s - 1)/s"),
        },
    ),
    Exercise("pr-ex-research", "Deviation and error", 3, ("rank correlation", "merging")),
)
check = SHEET.check

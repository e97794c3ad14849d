"""Exercises of the page on others' measurements."""

from book.study.exercises.model import Exercise, Sheet
from book.study.shipped import VGGT_1B_FRAMES
from lib.merging import FastVGGTRule, TokenLayout

PICTURE = (28, 37)  # patches


def _lost(kept_asked: float | None = None) -> float:
    """Frames at which the log of the crowd over training's equals what merging gives back."""
    frames = 70.0
    for _ in range(20):
        share = kept_asked or FastVGGTRule(0.9).kept(TokenLayout(round(frames), *PICTURE))
        frames = 1 + (VGGT_1B_FRAMES - 1) / ((share * frames - 1) / (frames - 1))
    return frames


SHEET = Sheet(
    "others",
    Exercise(
        "ot-ex-size",
        "As much as merging gives back",
        1,
        ("dilution", "kept fraction"),
        answer="the number of frames",
        right=_lost,
        traps={
            "You took κ = 1 − m = 0.1; the released rule keeps more than it is asked to.": lambda: _lost(0.1),
            "That is the number of frames in training: nothing is lost there.": lambda: VGGT_1B_FRAMES,
        },
        tolerance=0.02,
    ),
)
check = SHEET.check

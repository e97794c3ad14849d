"""Exercises of the chapter on real heads."""

from book.study import head_laws
from book.study.exercises.model import Exercise, Sheet


def _share(frames: int) -> float:
    return float(head_laws.reference_share(head_laws.reference_odds(0.85, 1 / 8), 1 / frames))


SHEET = Sheet(
    "real_heads",
    Exercise(
        "rh-ex-restore",
        "Restore the share",
        1,
        ("dilution", "reference frame"),
        answer="the share in 512 frames and the factor on the keys",
        right=lambda: [_share(512), head_laws.restoring_factor(512, 8)],
        traps={
            "A share does not fall like 1/S: its odds do.": lambda: [
                0.85 * 8 / 512,
                head_laws.restoring_factor(512, 8),
            ],
            "The crowd is S − 1 frames: 511 against 7, not 512 against 8.": lambda: [_share(512), 512 / 8],
        },
    ),
)
check = SHEET.check

"""Exercises of the chapter on VGGT and merging."""

import sympy as sp

from book.study import merging_laws
from book.study.exercises.model import Exercise, Sheet
from lib.merging import TokenLayout

ROWS, COLUMNS = round(1080 * 518 / 1920 / 14), 518 // 14  # of patches, of a phone's film
MINUTE = 600  # frames


def _order(size_bias: bool) -> int:
    """Order in ε of what merging two copies at 1 ± ε changes, one token at 0 beside them."""
    e = sp.symbols("epsilon", positive=True)
    weight = 2 if size_bias else 1
    exact = sum(sp.exp(k) * k for k in (1 + e, 1 - e)) / (sp.exp(1 + e) + sp.exp(1 - e) + 1)
    merged = weight * sp.E / (weight * sp.E + 1)
    left = [sp.diff(exact - merged, e, order).subs(e, 0) for order in range(4)]
    return next(order for order, term in enumerate(left) if abs(sp.N(term)) > 1e-12)


SHEET = Sheet(
    "architecture",
    Exercise(
        "vggt-ex-tokens",
        "A minute of video",
        1,
        ("patch", "token"),
        answer="the number of tokens of the minute of video",
        right=lambda: TokenLayout(MINUTE, ROWS, COLUMNS).tokens,
        traps={
            "You counted patches only: each frame has a camera token and four registers besides.": lambda: (
                MINUTE * ROWS * COLUMNS
            ),
            "These are the tokens of one second; a minute has 600 frames.": lambda: (
                TokenLayout(10, ROWS, COLUMNS).tokens
            ),
            "You made the picture square: only the width becomes 518.": lambda: (
                TokenLayout(MINUTE, COLUMNS, COLUMNS).tokens
            ),
            "The height is rounded to the nearest multiple of 14, not down.": lambda: (
                TokenLayout(MINUTE, ROWS - 1, COLUMNS).tokens
            ),
        },
    ),
    Exercise(
        "vggt-ex-saturation",
        "The largest m",
        2,
        ("merging", "destination", "protected token"),
        answer="a function of f and π that gives the largest m",
        right=lambda: merging_laws.saturation_strength,
        traps={
            "You subtracted both shares; a protected destination is subtracted twice.": lambda: (
                lambda f, protected: 1 - f - protected
            ),
            "Protected sources stay as well.": lambda: lambda f, protected: 1 - f,
            "That is the share that stays at the least, not the m that is reached.": lambda: (
                lambda f, protected: 1 - (1 - f) * (1 - protected)
            ),
        },
        at=((0.25, 0.1), (0.1, 0.0), (0.02, 0.3)),
    ),
    Exercise(
        "vggt-ex-equivariance",
        "A symmetry that merging breaks",
        2,
        ("merging", "destination", "protected token"),
        answer='what is to blame: "positions", "size bias", "frame 0" or "softmax"',
        right=lambda: "positions",
        traps={
            "Size bias counts tokens, wherever they stand; the released rule has none besides.": lambda: (
                "size bias"
            ),
            "Frame 0 is special without merging too, and it is not moved here.": lambda: "frame 0",
            "Softmax does not know the order of its keys.": lambda: "softmax",
        },
    ),
    Exercise(
        "vggt-ex-bias",
        "Size bias",
        3,
        ("merging", "size bias", "softmax"),
        answer="the order in ε of the error that is left with the bias",
        right=lambda: _order(size_bias=True),
        traps={
            "An error that does not vanish with ε is what is left without the bias.": lambda: _order(
                size_bias=False
            ),
            "The terms of first order sum to zero around the mean of a group.": lambda: 1,
            "Third order is left only if the covariance within a group is carried along.": lambda: 3,
        },
    ),
)
check = SHEET.check

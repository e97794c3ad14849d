"""Exercises of the chapter on long sequences."""

import math

import numpy as np
import sympy as sp

from book.study import head_laws
from book.study.exercises.model import Exercise, Sheet

KINDS = (0.0, 6.0)


def _share(b: float, frames: int) -> float:
    return float(head_laws.reference_share(math.exp(b), 1 / frames))


def _two_ways() -> list[float]:
    """Mean share at 512 frames from each kind of query, and from the log-odds of the mean at 8."""
    mean = float(np.mean([_share(b, 8) for b in KINDS]))
    pooled = math.log(head_laws.reference_odds(mean, 1 / 8))
    return [float(np.mean([_share(b, 512) for b in KINDS])), _share(pooled, 512)]


def _kept() -> sp.Expr:
    """κ at which κ(S − 1) keys are as many as in training."""
    kappa, frames, trained = sp.symbols("kappa S S_train", positive=True)
    return sp.solve(sp.Eq(kappa * (frames - 1), trained - 1), kappa)[0]


SHEET = Sheet(
    "long_sequences",
    Exercise(
        "ls-ex-half",
        "One half at last",
        1,
        ("dilution", "reference frame"),
        answer="the number of frames, for the log-odds that you give as b",
        right=lambda b: 1 + math.exp(b),
        traps={
            "The crowd is S − 1 frames: frame 0 is one of S.": lambda b: math.exp(b),
            "That is in the logarithm: the odds are e^b.": lambda b: 1 + b,
        },
        tolerance=1e-3,
        example={"b": 3.2},
    ),
    Exercise(
        "ls-ex-mean",
        "The mean is not the law's",
        2,
        ("dilution", "log-odds"),
        answer="the mean share at 512 frames from each kind, and from the mean share at 8",
        right=_two_ways,
        traps={
            "They are exchanged: each kind first.": lambda: _two_ways()[::-1],
            "You took the mean of b; the log-odds of the mean share is another number.": lambda: [
                _two_ways()[0],
                _share(float(np.mean(KINDS)), 512),
            ],
        },
    ),
    Exercise(
        "ls-ex-merge",
        "How many keys to keep",
        3,
        ("dilution", "kept fraction"),
        answer="κ in S and S_train",
        right=_kept,
        traps={
            "Frame 0 is spared: the crowds are S − 1 and S_train − 1.": lambda: (
                sp.Symbol("S_train") / sp.Symbol("S")
            ),
            "Upside down: more frames ask for a smaller share.": lambda: 1 / _kept(),
            "That is m; κ is what is left.": lambda: 1 - _kept(),
        },
    ),
)
check = SHEET.check

"""Exercises of the chapter on effective rank."""

import math
from functools import cache

import numpy as np
import torch
from scipy.integrate import quad

from book.study.exercises.model import Exercise, Sheet
from lib.spectra import dense_measures

TAIL = np.array([1.0] + [1e-2] * 999)


@cache
def _tail() -> list[float]:
    found = dense_measures(torch.diag(torch.from_numpy(TAIL)))
    return [found.effective_rank, found.stable_rank]


def _exponential(p: np.ndarray) -> float:
    """e to the entropy of weights p."""
    return math.exp(-(p * np.log(p)).sum())


def _quarter_circle(power: float, log: bool = False) -> float:
    """E[x^power], or E[x ln x], of the quarter circle."""

    def density(x: float) -> float:
        return math.sqrt(4 - x * x) / math.pi * (x * math.log(x) if log else x**power)

    return float(quad(density, 0, 2)[0])


def _bulk(sign: int = -1) -> float:
    mean = _quarter_circle(1)
    return mean * math.exp(sign * _quarter_circle(1, log=True) / mean)


SHEET = Sheet(
    "effective_rank",
    Exercise(
        "rank-ex-tail",
        "A long weak tail",
        1,
        ("effective rank", "stable rank"),
        answer="effective rank and stable rank",
        right=_tail,
        traps={
            "The effective rank weighs singular values, not their squares.": lambda: [
                _exponential(TAIL**2 / (TAIL**2).sum()),
                _tail()[1],
            ],
            "The stable rank sums squares of singular values.": lambda: [_tail()[0], TAIL.sum()],
            "They are exchanged: effective rank first.": lambda: _tail()[::-1],
        },
    ),
    Exercise(
        "rank-ex-circle",
        "The quarter circle",
        2,
        ("effective rank", "singular value"),
        answer="the effective rank over N, for large N",
        right=_bulk,
        traps={
            "That is E x: the entropy needs E[x ln x] as well.": lambda: _quarter_circle(1),
            "The sign of E[x ln x]: entropy is minus the mean of the logarithm.": lambda: _bulk(1),
            "That is E[x²], the energy.": lambda: _quarter_circle(2),
        },
    ),
    Exercise("rank-ex-which-r", "Which r was fitted", 3, ("effective rank",)),
    Exercise(
        "rank-ex-pooled",
        "What was recorded?",
        2,
        ("effective rank", "pooled attention"),
        answer='which of the two has the smaller effective rank: "pooled", "sampled" or "equal"',
        right=lambda: "pooled",
        traps={
            "A sample of rows keeps what tells rows apart; an average loses it.": lambda: "sampled",
            "They have equally many singular values, not equal ones.": lambda: "equal",
        },
    ),
    Exercise("rank-ex-split", "Static and dynamic part", 3, ("effective rank", "merging")),
)
check = SHEET.check

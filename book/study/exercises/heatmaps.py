"""Exercises of the chapter on heat maps."""

import math

import numpy as np
import torch

from book.study.exercises.model import Exercise, Sheet
from lib.spectra import dense_measures

NOISE = 0.01


def _equal_maps() -> list[float]:
    """Stable rank and row entropy over ln N of 100 tokens that read the same ten."""
    a = np.zeros((100, 100))
    a[:, :10] = 0.1
    row = -(a[0, :10] * np.log(a[0, :10])).sum() / math.log(100)
    return [dense_measures(torch.from_numpy(a)).stable_rank, float(row)]


SHEET = Sheet(
    "heatmaps",
    Exercise(
        "hm-ex-scale",
        "A map scaled to itself",
        1,
        ("total variation",),
        answer="the distance from uniform, to about ten per cent",
        right=lambda: 0.5 * NOISE * math.sqrt(2 / math.pi),
        traps={
            "Total variation is half the sum of absolute differences.": lambda: (
                NOISE * math.sqrt(2 / math.pi)
            ),
            "That is the standard deviation; the mean absolute value is smaller by √(2/π).": lambda: NOISE,
        },
        tolerance=0.15,
    ),
    Exercise(
        "hm-ex-equal",
        "Equal is not uniform",
        2,
        ("stable rank", "row entropy"),
        answer="stable rank and row entropy over ln N",
        right=_equal_maps,
        traps={
            "All rows are equal: one singular value, however many keys are read.": lambda: [
                10,
                _equal_maps()[1],
            ],
            "That is the row entropy of uniform attention; ten keys of a hundred are read.": lambda: [1, 1],
            "Row entropy in nats; divide by ln N.": lambda: [1, math.log(10)],
        },
    ),
    Exercise(
        "hm-ex-random",
        "Where uniform maps come from",
        2,
        ("total variation", "global attention"),
        answer='whose maps are nearer to uniform: "random", "trained" or "equal"',
        right=lambda: "random",
        traps={
            "Training adds distance: measure both again.": lambda: "trained",
            "Look at the distances from uniform, not at pictures scaled to their own range.": lambda: "equal",
        },
    ),
    Exercise("hm-ex-others", "One network is one draw", 3, ("global attention",)),
    Exercise("hm-ex-geometry", "Do maps follow the geometry?", 3, ("patch", "global attention")),
)
check = SHEET.check

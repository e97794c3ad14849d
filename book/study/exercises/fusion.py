"""Exercises of the chapter on Table 1 and Fig. 3."""

import numpy as np

from book.study.exercises.model import Exercise, Sheet
from book.study.paper import printed

PARTS = np.random.default_rng(0).normal(size=(2, 4, 3, 5))  # (static or dynamic, scenes, blocks, heads)


def _larger(static, dynamic, average=np.median, size=np.abs) -> int:
    gap = size(np.asarray(static)) - size(np.asarray(dynamic))
    return int((average(gap, axis=0) > 0).sum())


def _printed(base: float) -> np.ndarray:
    return base ** np.array(printed.table_1("entropy_measured"))


SHEET = Sheet(
    "fusion",
    Exercise(
        "fs-ex-tie",
        "Ranks from entropies",
        1,
        ("effective rank", "singular-value entropy"),
        answer="the ranks that the printed entropies give, row by row",
        right=lambda: _printed(printed.value("frames")),
        traps={
            "The printed entropy is divided by ln k: the base is k, not e.": lambda: _printed(np.e),
            "The entropy is in nats, so the base is not two.": lambda: _printed(2.0),
            "That is H ln k, the entropy in nats; take its exponential.": lambda: np.log(
                _printed(printed.value("frames"))
            ),
        },
    ),
    Exercise(
        "fs-ex-lifted",
        "Token or lifted?",
        2,
        ("effective rank", "merging"),
        answer="a function of a token matrix and the group sizes: a matrix with the lifted map's values",
        right=lambda: lambda a, sizes: np.sqrt(sizes)[:, None] * a / np.sqrt(sizes),
        traps={
            "The other way round: large groups weigh more as queries, less as keys.": lambda: (
                lambda a, sizes: a * np.sqrt(sizes) / np.sqrt(sizes)[:, None]
            ),
            "That has its eigenvalues, not its singular values: split the sizes evenly.": lambda: (
                lambda a, sizes: np.asarray(sizes)[:, None] * a / np.asarray(sizes)
            ),
            "Keys are divided as well: the mean of a group is one key.": lambda: (
                lambda a, sizes: np.sqrt(sizes)[:, None] * a
            ),
        },
        at=((np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.4, 0.4, 0.2]]), np.array([1.0, 2.0, 4.0])),),
    ),
    Exercise(
        "fs-ex-head",
        "Heads are not alike",
        3,
        ("effective rank", "merging"),
        answer="the number of heads, for the parts given as static and dynamic (scenes, blocks, heads)",
        right=lambda static, dynamic: _larger(static, dynamic),
        traps={
            "Signs cancel: compare absolute values.": lambda static, dynamic: _larger(
                static, dynamic, size=lambda v: v
            ),
            "You counted heads scene by scene; take the median over scenes first.": lambda static, dynamic: (
                int((np.abs(np.asarray(static)) > np.abs(np.asarray(dynamic))).sum())
            ),
        },
        example={"static": PARTS[0], "dynamic": PARTS[1]},
    ),
)
check = SHEET.check

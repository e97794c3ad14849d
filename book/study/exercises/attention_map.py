"""Exercises of the chapter on the attention map and its rank."""

import math

import numpy as np
import sympy as sp
import torch

from book.study import collapse_laws
from book.study.exercises.model import Exercise, Sheet
from lib import dynamics

TOKENS = 9


def _layers(goal: float) -> list[float]:
    """Until 1 − R² has fallen to e^goal: without a residual, and with h = 0.1."""
    start = math.log(0.1)
    return [
        math.ceil(math.log(goal / start) / math.log(3)),
        math.ceil((start - goal) / collapse_laws.terminal_rate(0.1)),
    ]


def _rank(repeats: int) -> int:
    tokens = dynamics.uniform_cloud(TOKENS, 4, seed=0).repeat(repeats, 1)
    return int(torch.linalg.matrix_rank(dynamics.attention_matrix(tokens, 1.0)))


def _distance() -> sp.Expr:
    n, k = sp.symbols("n k", positive=True)
    return sp.sqrt(1 - k / (n + k))


SHEET = Sheet(
    "attention_map",
    Exercise(
        "map-ex-float",
        "How deep single precision reaches",
        1,
        ("spread", "residual step"),
        answer="the two numbers of layers, without and with a residual",
        right=lambda: _layers(2 * math.log(np.finfo(np.float32).eps)),
        traps={
            "You stopped at 1 − R² = ε. Tokens differ by its root, so ε² must be reached.": lambda: _layers(
                math.log(np.finfo(np.float32).eps)
            ),
            "That is double precision; single is asked for.": lambda: _layers(
                2 * math.log(np.finfo(np.float64).eps)
            ),
        },
    ),
    Exercise(
        "map-ex-duplicates",
        "Frames shown twice",
        1,
        ("rank collapse", "token"),
        answer="the rank of A for nine tokens that each occur twice",
        right=lambda: _rank(2),
        traps={
            "Equal tokens have equal rows and equal columns; count different ones.": lambda: 2 * TOKENS,
            "The softmax is not linear: rank is not bounded by the width of the tokens.": lambda: 4,
        },
    ),
    Exercise(
        "map-ex-tied",
        "Tied weights",
        2,
        ("singular value",),
        answer="the distance as an expression in n and k",
        right=_distance,
        traps={
            "That is the cosine to the identity; the distance is its sine.": lambda: sp.sympify(
                "sqrt(k/(n+k))"
            ),
            "That is the square of the cosine.": lambda: sp.sympify("k/(n+k)"),
            "That is the square of the distance.": lambda: _distance() ** 2,
        },
    ),
    Exercise(
        "map-ex-numerical",
        "Numerical rank",
        2,
        ("singular value", "rank collapse"),
        answer="a function of p: how many singular values are of order δᵖ for tokens on S²",
        right=lambda: lambda p: math.comb(p + 1, 1),
        traps={
            "That counts spherical harmonics; near consensus the sphere is a plane.": lambda: (
                lambda p: 2 * p + 1
            ),
            "That is the total up to degree p; one degree is asked for.": lambda: (
                lambda p: math.comb(p + 2, 2)
            ),
        },
        at=((0,), (1,), (2,), (5,)),
    ),
    Exercise("map-ex-values", "Value matrices against collapse", 3, ("rank collapse", "value matrix")),
)
check = SHEET.check

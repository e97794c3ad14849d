"""Exercises of the chapter on the mean-field limit."""

import math

import sympy as sp

from book.study import mean_flow
from book.study.exercises.model import Exercise, Sheet

ANGLES = sp.symbols("theta0:3", real=True)
WIDTHS = (2, 3, 4, 8)


def _angular() -> sp.Expr:
    """⟨tangent at θ₀, M⟩ of three tokens on the circle."""
    mean = [sum(f(t) for t in ANGLES) / 3 for f in (sp.cos, sp.sin)]
    return -sp.sin(ANGLES[0]) * mean[0] + sp.cos(ANGLES[0]) * mean[1]


def _noise(terms: str) -> sp.Expr:
    """κ at which a rate, in kappa and n, is zero."""
    return sp.solve(sp.sympify(terms), sp.Symbol("kappa"))[0]


SHEET = Sheet(
    "mean_field",
    Exercise(
        "mean-field-ex-circle",
        "Kuramoto on the circle",
        1,
        ("mean field", "tangent projection"),
        answer="the angular velocity of the first of three tokens, in θ₀, θ₁, θ₂ (type theta0 and so on)",
        right=_angular,
        traps={
            "The sign: attention pulls a token towards the others.": lambda: -_angular(),
            "That is the sum over tokens; M is their mean.": lambda: 3 * _angular(),
            "That is the component of M along the token, which the projection removes.": lambda: (
                sum(sp.cos(t - ANGLES[0]) for t in ANGLES) / 3
            ),
        },
    ),
    Exercise(
        "mean-field-ex-logistic",
        "A simplex of tokens",
        2,
        ("mean field", "spread"),
        answer="a function of the time t and of R² at the start that gives R²",
        right=lambda: lambda t, start: 1 - mean_flow.logistic_spread(t, math.sqrt(start)),
        traps={
            "Rate one is the circle's; here both tokens of a pair move.": lambda: (
                lambda t, start: 1 - mean_flow.logistic_spread(t, math.sqrt(start), 1.0)
            ),
            "Exponential growth holds at the start only: R² cannot pass one.": lambda: (
                lambda t, start: start * math.exp(2 * t)
            ),
            "That is the spread 1 − R².": lambda: (
                lambda t, start: mean_flow.logistic_spread(t, math.sqrt(start))
            ),
        },
        at=((0.5, 0.1), (1.0, 0.3), (2.0, 0.05)),
    ),
    Exercise(
        "mean-field-ex-antipode",
        "The slow tail",
        2,
        ("mean field", "Poisson kernel"),
        answer="the rates at which 1 − R decays for n = 2, 3, 4, 8",
        right=lambda: [min(2, n - 1) for n in WIDTHS],
        traps={
            "Two is the rate near one point; on the circle the mass near the antipode is slower.": lambda: (
                [2] * 4
            ),
            "The antipode does not hold up wide tokens: nothing decays faster than near one point.": lambda: [
                n - 1 for n in WIDTHS
            ],
            "Mass leaves the antipode at rate one; how much of it there is depends on n.": lambda: [1] * 4,
        },
    ),
    Exercise(
        "mean-field-ex-noise",
        "A real diffusion",
        2,
        ("mean field", "spherical harmonic"),
        answer="the κ at which collapse stops, in n",
        right=lambda: _noise("1 - 1/n - kappa*(n - 1)"),
        traps={
            "The Laplacian multiplies the first harmonic by −(n − 1), not by −1.": lambda: _noise(
                "1 - 1/n - kappa"
            ),
            "The projection costs a share 1/n of the pull.": lambda: _noise("1 - kappa*(n - 1)"),
        },
    ),
    Exercise("mean-field-ex-values", "A value matrix", 3, ("mean field", "value matrix")),
)
check = SHEET.check

"""Exercises of the chapter on entropy."""

import numpy as np
import sympy as sp

from book.study.exercises.model import Exercise, Sheet

A, THETA, N, R = sp.symbols("a theta n r", positive=True)


def _mode(power: int) -> sp.Expr:
    """Mean over the circle of the term of second order of ρ′²/ρ, ρ = 1 + a cos θ; of its root for power 1."""
    slope = sp.diff(1 + A * sp.cos(THETA), THETA) ** 2
    return sp.integrate(slope**power, (THETA, 0, 2 * sp.pi)) / (2 * sp.pi)


def _excess() -> sp.Expr:
    """Limit of I/((n−1)R²) for Poisson kernels, from their closed Fisher information and R ≈ 2(n−1)r/n."""
    fisher = 4 * (N - 1) ** 2 * R**2 / (1 - R**2) ** 2 * (1 - 1 / N)
    return sp.simplify(sp.limit(fisher / ((N - 1) * (2 * (N - 1) / N * R) ** 2), R, 0))


def _bracket(second, mean):
    second, mean = np.asarray(second), np.asarray(mean)
    covariance = second - np.outer(mean, mean)
    return np.trace(covariance) - len(second) * np.trace(covariance @ second)


def _unbalanced(second, mean):
    return 1 - len(second) * np.trace(np.asarray(second) @ np.asarray(second))


def _slope(length: str) -> int:
    """Slope in ln ℓ, for large ℓ, of a spread that falls like the inverse square of a stream's length."""
    depth = sp.symbols("l", positive=True)
    spread = 1 / sp.sympify(length, locals={"l": depth}) ** 2
    return int(sp.limit(depth * sp.diff(sp.log(spread), depth), depth, sp.oo))


def _takes_over(equation: str) -> sp.Expr:
    depth = sp.symbols("l", positive=True)
    angle = sp.symbols("vartheta", positive=True)
    return sp.solve(sp.sympify(equation, locals={"l": depth, "t": sp.tan(angle)}), depth)[0]


DENSITIES = (np.diag([0.6, 0.2, 0.2]), [0.0, 0, 0]), (np.diag([0.6, 0.2, 0.2]), [0.5, 0, 0])

SHEET = Sheet(
    "entropy",
    Exercise(
        "entropy-ex-heat",
        "Heat and information",
        1,
        ("Fisher information", "differential entropy"),
        answer="dH/dt of the density 1 + a cos θ on the circle, up to a²",
        right=lambda: _mode(1),
        traps={
            "The sign: heat spreads, so entropy rises.": lambda: -_mode(1),
            "The mean of sin² over the circle is one half.": lambda: A**2,
            "You took the mean of the fourth power of the slope.": lambda: _mode(2),
        },
    ),
    Exercise(
        "entropy-ex-bound",
        "How much too large?",
        2,
        ("Fisher information", "Poisson kernel"),
        answer="the limit of I/((n − 1)R²) for Poisson kernels, in n",
        right=_excess,
        traps={
            "That is the bound by Cauchy and Schwarz; the kernel lies above it.": lambda: N - 1,
            "That is I/R²: divide by n − 1 as well.": lambda: N * (N - 1),
        },
    ),
    Exercise(
        "entropy-ex-correction",
        "The first correction in β",
        2,
        ("differential entropy", "inverse temperature"),
        answer="a function of the matrix C and the vector M that gives the factor of β",
        right=lambda: _bracket,
        traps={
            "Σ is C without MMᵀ; for a balanced density they agree, here they do not.": lambda: _unbalanced,
            "The sign: entropy follows the divergence of the velocity.": lambda: lambda c, m: -_bracket(c, m),
        },
        at=DENSITIES,
    ),
    Exercise(
        "entropy-ex-window",
        "Twenty-four layers",
        2,
        ("pre-LN", "spread"),
        answer="the slopes of 1 − R² in log–log for deep networks, with V = I and with random V",
        right=lambda: [_slope("1 + l"), _slope("sqrt(1 + l)")],
        traps={
            "Coherent steps add lengths and random steps add squares: it is the other way round.": lambda: [
                _slope("sqrt(1 + l)"),
                _slope("1 + l"),
            ],
            "That is the slope of the angle; the spread goes with its square.": lambda: [-1, -0.5],
        },
    ),
    Exercise(
        "entropy-ex-mixed",
        "Neither identity nor noise",
        3,
        ("pre-LN", "value matrix"),
        answer="the layer at which the coherent law takes over, in ϑ (type vartheta)",
        right=lambda: _takes_over("sqrt(l) - t"),
        traps={
            "You solved for the root of ℓ: random steps grow like √ℓ.": lambda: sp.tan(sp.Symbol("vartheta")),
            "Sine and cosine are exchanged: cos ϑ is the share of the identity.": lambda: (
                1 / sp.tan(sp.Symbol("vartheta")) ** 2
            ),
        },
    ),
)
check = SHEET.check

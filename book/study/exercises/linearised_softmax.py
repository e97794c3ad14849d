"""Exercises of the chapter on the linearised softmax."""

import math

import sympy as sp
from scipy.optimize import brentq

from book.study.exercises.model import Exercise, Sheet

ROW = 2 / (3 * math.sqrt(3))  # constant of the bound on a row's error


def _alpha(share: float) -> float:
    """Where ``share`` of α − tanh α is 0.1."""
    return float(brentq(lambda a: share * (a - math.tanh(a)) - 0.1, 0.1, 3))


def _angle(over: float, limit: float) -> float:
    """Degrees at which ``over``·sin²θ reaches ``limit``."""
    return math.degrees(math.asin(math.sqrt(limit / over)))


def _third(terms: str) -> sp.Expr:
    return sp.sympify(terms, locals={"V": sp.Symbol("V"), "k": sp.Symbol("kappa_3")})


def _from_cumulants() -> sp.Expr:
    a, k = sp.symbols("alpha kappa_3")
    log = _third("c") * a - a**2 * _third("V") / 2 - a**3 * k / 6
    return sp.expand(sp.series(sp.exp(log), a, 0, 4).removeO().coeff(a, 3))


def _left() -> sp.Expr:
    """Mean square of e^{z−σ²/2} − 1 − z for Gaussian z of variance σ²."""
    s = sp.symbols("sigma", positive=True)
    k = sp.symbols("k", integer=True)
    return sp.summation(s ** (2 * k) / sp.factorial(k), (k, 0, sp.oo)) - 1 - s**2


SHEET = Sheet(
    "linearised_softmax",
    Exercise(
        "soft-ex-two",
        "Two opposite tokens",
        1,
        ("softmax", "inverse temperature"),
        answer="the α at which the row error is 0.1",
        right=lambda: _alpha(1.0),
        traps={
            "You used the leading term α³/3, which is too large here: solve the equation itself.": lambda: (
                0.3 ** (1 / 3)
            ),
            "You took one weight's error; a row's error sums over both.": lambda: _alpha(0.5),
        },
    ),
    Exercise(
        "soft-ex-cone",
        "Tokens in a cone",
        2,
        ("softmax", "inverse temperature"),
        answer="θ in degrees",
        right=lambda: _angle(8, math.sqrt(0.01 / ROW)),
        traps={
            "The half is missing: ω ≤ ½(1 − cos 2θ).": lambda: _angle(16, math.sqrt(0.01 / ROW)),
            "The bound is quadratic: the root of 0.01 is missing.": lambda: _angle(8, 0.01 / ROW),
            "That is the whole angle 2θ between two tokens; θ is measured from the axis.": lambda: (
                2 * _angle(8, math.sqrt(0.01 / ROW))
            ),
        },
        tolerance=1e-4,
    ),
    Exercise(
        "soft-ex-third",
        "The third order",
        2,
        ("softmax",),
        answer="the coefficient of α³ in c, V (the variance) and κ₃ (type kappa_3)",
        right=_from_cumulants,
        traps={
            "The third cumulant is missing: the normalisation has one too.": lambda: _third(
                "(c**3 - 3*c*V)/6"
            ),
            "The sign of the third cumulant: it comes from dividing by the normalisation.": lambda: _third(
                "(c**3 - 3*c*V + k)/6"
            ),
            "The sixth is missing.": lambda: _third("c**3 - 3*c*V - k"),
        },
    ),
    Exercise(
        "soft-ex-divergence",
        "Where more terms help",
        2,
        ("softmax",),
        answer="the α up to which more terms help",
        right=lambda: float(
            sp.Abs(min(sp.solveset(sp.cos(sp.Symbol("y")), sp.Symbol("y"), sp.Interval(0, 3))))
        ),
        traps={
            "That is the nearest zero of sinh; tanh has its poles where cosh is zero.": lambda: math.pi,
            "Nothing happens at one: the series of tanh is not geometric.": lambda: 1.0,
        },
    ),
    Exercise(
        "soft-ex-regression",
        "The best affine function",
        3,
        ("softmax",),
        answer="the mean square that is left, in σ (type sigma)",
        right=_left,
        traps={
            "That is the whole variance; the linear term explains σ² of it.": lambda: sp.sympify(
                "exp(sigma**2) - 1"
            ),
            "σ stands where σ² belongs.": lambda: sp.sympify("exp(sigma) - 1 - sigma"),
        },
    ),
)
check = SHEET.check

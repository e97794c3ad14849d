"""Exercises of the chapter on the corrected theory of collapse."""

import sympy as sp

from book.study import collapse_laws
from book.study.exercises.model import Exercise, Sheet


def _ratio(tokens: float, factor: float) -> float:
    """Layers to collapse after thinning over those before, by the odds law at β = 8, h = 0.1, γ₀ = 0.2."""
    few, many = (collapse_laws.collapse_layers(k, 8.0, 0.1, 0.2) for k in (tokens / factor, tokens))
    return few / many


def _threshold() -> sp.Expr:
    n, gamma, star = sp.symbols("N gamma Nstar", positive=True)
    pull = ((n - 1) * gamma + 1) / (n + star - 1)
    return sp.solve(sp.numer(sp.together(sp.diff(pull, n))), star)[0]


SHEET = Sheet(
    "corrected_theory",
    Exercise(
        "ct-ex-crossover",
        "Thinning a thousand tokens",
        1,
        ("dilution", "spread"),
        answer="τ′/τ for 1,000 tokens, by the odds law",
        right=lambda: _ratio(1000, 10),
        traps={
            "That is d itself: only far below the crossover is collapse lengthened tenfold.": lambda: 10.0,
            "These are 100 tokens before thinning; you are asked for 1,000.": lambda: _ratio(100, 10),
            "You divided the other way: thinning makes collapse slower, so the ratio is above one.": lambda: (
                1 / _ratio(1000, 10)
            ),
            "That is the two-term law; the odds law counts layers.": lambda: collapse_laws.thinning_ratio(
                1000, 10, collapse_laws.crossover_tokens(8.0, 0.1, 0.2)
            ),
        },
        tolerance=1e-4,
    ),
    Exercise(
        "ct-ex-monotone",
        "A threshold for N",
        2,
        ("dilution", "equiangular tokens"),
        answer="the N* at which the number of tokens makes no difference, in γ (type gamma)",
        right=_threshold,
        traps={
            "That is γN* = 1 read the wrong way round.": lambda: sp.Symbol("gamma"),
            "The token itself is counted: it is γ, not 1 − γ, that N* stands against.": lambda: (
                1 / (1 - sp.Symbol("gamma"))
            ),
        },
    ),
)
check = SHEET.check

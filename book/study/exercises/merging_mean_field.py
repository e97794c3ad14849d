"""Exercises of the chapter on merging in the mean field."""

from scipy.optimize import brentq

from book.study import collapse_laws, merging_laws
from book.study.exercises.model import Exercise, Sheet
from book.study.paper import printed
from lib.merging import TokenLayout

MASSES = (([0.5, 0.25, 0.25], 0.1), ([0.7, 0.1, 0.1, 0.1], 0.2))


def _beta(tokens: float, ratio: float) -> float:
    """β at which thinning by two lengthens collapse ``ratio``-fold."""

    def missing(beta: float) -> float:
        return collapse_laws.thinning_ratio(tokens, 2, collapse_laws.crossover_tokens(beta, 0.1, 0.2)) - ratio

    return float(brentq(missing, 4, 30, xtol=1e-4))


def _tokens(frames: int) -> int:
    return TokenLayout(frames=frames, patches_high=28, patches_wide=37).tokens


SHEET = Sheet(
    "merging_mean_field",
    Exercise(
        "mm-ex-clock",
        "A clock that runs slower",
        1,
        ("residual step", "merging"),
        answer='the knob: "step", "temperature", "merging" or "width"',
        right=lambda: "step",
        traps={
            "Rows of merged attention still sum to one, so a token moves as far as before.": lambda: (
                "merging"
            ),
            "Temperature matters while tokens are apart; near collapse all logits agree.": lambda: (
                "temperature"
            ),
        },
    ),
    Exercise(
        "mm-ex-weights",
        "Copies without size bias",
        2,
        ("size bias", "merging"),
        answer="a function of the masses and of h: the delay in layers by the law",
        right=lambda: merging_laws.renyi_delay,
        traps={
            "That is the delay in the time t = hℓ; a layer is worth ln(1 + h).": lambda: (
                lambda mass, h: merging_laws.renyi_delay(mass)
            ),
            "The half is missing: R, not R², is what the masses change.": lambda: (
                lambda mass, h: 2 * merging_laws.renyi_delay(mass, h)
            ),
            "ln(1 + h) is the rate of R; you took that of the spread, 2 ln(1 + h).": lambda: (
                lambda mass, h: merging_laws.renyi_delay(mass) / collapse_laws.terminal_rate(h)
            ),
        },
        at=MASSES,
    ),
    Exercise(
        "mm-ex-window",
        "Who is in the window?",
        2,
        ("dilution", "inverse temperature"),
        answer="β",
        right=lambda: _beta(_tokens(int(printed.value("frames"))), 1.8),
        traps={
            "That is where thinning lengthens collapse by half; 0.9 d is 1.8.": lambda: _beta(
                _tokens(int(printed.value("frames"))), 1.5
            ),
            "These are the tokens of one frame.": lambda: _beta(_tokens(1), 1.8),
        },
        tolerance=0.01,
    ),
    Exercise("mm-ex-profile", "A clock from the whole profile", 3, ("spread", "merging")),
)
check = SHEET.check

"""What the corrected theory says a real model must do: written down, with thresholds, before any run of it.

Each prediction names the quantity that decides it; ``book.study.predictions.measure`` measures all of them on
one model and one set of scenes. This module must not change once results exist: the history of this file and
of the results shows which came first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Word = Literal["as predicted", "refuted", "not decided"]


@dataclass(frozen=True)
class Prediction:
    """One quantity and the interval in which it must lie.

    Attributes:
        id: "P6b": the row of chapter "The corrected theory", and a letter where a row has several quantities.
        law: statements T1–T9 it follows from.
        says: the prediction in one sentence.
        quantity: name of the measured number in the record of the run.
        measured: how that number is made.
        low, high: ends of the open interval (closed where they are equal).
        rival: what the paper's equations, or the opposite, would give.
    """

    id: str
    law: str
    says: str
    quantity: str
    measured: str
    low: float
    high: float
    rival: str

    def judge(self, value: float | None) -> Word:
        """The outcome for a measured value; None is a quantity that this run could not define."""
        if value is None:
            return "not decided"
        exact = self.low == self.high
        inside = value == self.low if exact else self.low < value < self.high
        return "as predicted" if inside else "refuted"

    @property
    def interval(self) -> str:
        """The interval in words, e.g. ``below 0.5``."""
        if self.low == self.high:
            return f"exactly {self.low:g}"
        if math.isinf(self.low):
            return f"below {self.high:g}"
        return f"above {self.low:g}" if math.isinf(self.high) else f"{self.low:g} to {self.high:g}"


def _below(high: float) -> tuple[float, float]:
    return -math.inf, high


def _above(low: float) -> tuple[float, float]:
    return low, math.inf


PREDICTIONS = (
    Prediction(
        "P1",
        "T1, T3",
        "The depth profile of the spread does not depend on the number of tokens where self-"
        "attention is weak.",
        "profile_shift",
        "largest |ln| of the ratio of mean spreads, S frames against every fourth of them, over "
        "global blocks "
        "with mean self-attention below 0.1",
        *_below(0.10),
        "Eq. (1): the depth scale grows like N, fourfold",
    ),
    Prediction(
        "P2",
        "T4",
        "Keys and values repeated four times leave a global block unchanged.",
        "copies_change",
        "largest relative change (rms) of the attention output over blocks and scenes, float32",
        *_below(1e-5),
        "Eqs. (1) and (9): the rate changes by the factor of repetition",
    ),
    Prediction(
        "P3a",
        "T4",
        "With size bias, merging keys of radius ε errs by O(ε²).",
        "slope_keys",
        "log–log slope of the error of one block's attention output against the radius of its groups",
        1.7,
        2.3,
        "first order would give 1",
    ),
    Prediction(
        "P3b",
        "T4",
        "Merging queries as well errs by O(ε) per token.",
        "slope_queries",
        "the same with queries merged and outputs copied back",
        0.8,
        1.3,
        "second order would give 2",
    ),
    Prediction(
        "P4",
        "T5",
        "Without size bias the sign of |M_w|² − |M|², from one forward pass, gives the sign of the "
        "first change "
        "of the spread.",
        "sign_right",
        "share of blocks with mean self-attention below 0.1, over scenes and m, whose change "
        "exceeds the noise "
        "between draws of the rule, in which the spread after the attention branch falls exactly where "
        "|M_w|² > |M|²",
        *_above(0.75),
        "Eq. (10): merging always delays; chance is one half",
    ),
    Prediction(
        "P5",
        "T6",
        "Merging never multiplies the depth scale by d.",
        "delay_exponent",
        "slope of ln(τ'/τ) against ln d, d = 1/kept; τ the depth at which the spread has made half "
        "of its fall",
        *_below(0.5),
        "Eq. (10): 1",
    ),
    Prediction(
        "P6a",
        "T7",
        "All m beyond saturation of the released rule are one run.",
        "saturated_difference",
        "largest difference of predicted poses and depths between m = 0.7 and m = 0.9",
        0.0,
        0.0,
        "Tables 1 and 2 print different values for 0.7 and 0.9",
    ),
    Prediction(
        "P6b",
        "T7",
        "Without size bias the effective rank of the merged matrix has an interior maximum in m.",
        "rank_turns",
        "rise of the mean effective rank above both ends (m = 0 and saturation), as a share of its "
        "value at m = 0",
        *_above(0.0),
        "Table 1: strictly rising",
    ),
    Prediction(
        "P6c",
        "T7",
        "So does the spread entering the last block.",
        "spread_turns",
        "rise of the mean spread above both ends, as a share of its value at m = 0",
        *_above(0.0),
        "Eq. (10): rises with every m",
    ),
    Prediction(
        "P7a",
        "T4, T8",
        "With size bias and weak merging the change of the recorded effective rank is static.",
        "dynamic_share_biased",
        "|dynamic part| / |whole change| of the mean effective rank of the merged matrix at m = 0.3",
        *_below(0.25),
        "§5.2: the change is slower collapse, that is dynamic",
    ),
    Prediction(
        "P7b",
        "T8",
        "Without size bias static and dynamic part are of one order.",
        "static_share_plain",
        "|static part| / (|static| + |dynamic|) at m = 0.3",
        *_above(0.1),
        "§5.2: all of it dynamic",
    ),
    Prediction(
        "P8",
        "T9",
        "The token part of the spread falls faster with depth than the frame part.",
        "token_against_frame",
        "ln of (token part at the last block / at the first) minus the same of the frame part",
        *_below(0.0),
        "a single cloud of tokens would give 0",
    ),
    Prediction(
        "P9a",
        "T3, T9",
        "Repeated frames change little of what new frames change.",
        "repeats_over_new",
        "|change of ln frame part at the last block| from four copies of each frame, over that from"
        " four times as "
        "many different frames",
        *_below(0.5),
        "Eq. (1) counts tokens: 1",
    ),
    Prediction(
        "P9b",
        "T3, T9",
        "More different frames hasten the loss of the frame part.",
        "new_frames_effect",
        "change of ln frame part at the last block from four times as many frames of the same stretch",
        *_below(0.0),
        "Eq. (1): slower with more tokens",
    ),
    Prediction(
        "P10",
        "T2",
        "Heads with larger β(1−γ) move tokens less towards the mean.",
        "moved_rank_correlation",
        "Spearman correlation over heads and blocks of 1 − μ measured with N/(N + N* − 1)",
        *_above(0.0),
        "Eq. (1): α speeds collapse",
    ),
    Prediction(
        "P11",
        "T2",
        "A VGGT at initialisation, LayerScale 0.01, hardly collapses in 24 blocks.",
        "random_odds_factor",
        "factor by which the odds R²/(1−R²) grow from the first to the last of 24 pairs of blocks; "
        "the model's "
        "architecture with random weights",
        *_below(2.6),
        "§1: collapse under initialisation at rate O(1/L)",
    ),
    Prediction(
        "P12",
        "T2",
        "Late in depth the spread falls like a power between ℓ⁻² and ℓ⁻¹.",
        "late_slope",
        "log–log slope of the mean spread against the global block, second half of the depth",
        -2.0,
        -1.0,
        "Eq. (1): exponential; Eq. (6): 1/L for the entropy",
    ),
    Prediction(
        "P13",
        "T8",
        "The static part alone, from one unmerged pass and with nothing fitted, predicts the "
        "effective rank at "
        "held-out m better than the paper's law fitted to the smaller m.",
        "static_over_fitted",
        "mean relative error of the static prediction over that of ln r = a + b m fitted on m ≤ "
        "0.5, on larger m",
        *_below(1.0),
        "§5.2: the fitted law agrees within 8 %",
    ),
)

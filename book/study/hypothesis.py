"""A prediction that is written down with its bounds before any run, and what decides it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from book.study import entries

Word = Literal["as predicted", "refuted", "not decided"]


@dataclass(frozen=True)
class Hypothesis:
    """One prediction: a quantity and the interval in which it must lie.

    Attributes:
        id: "P6b": a row of chapter "The corrected theory", and a letter where a row has several quantities.
        says: the prediction in one sentence.
        quantity: name of the measured number in the record of the run.
        measured: how that number is made.
        rival: what the opposite would give, or the paper's equations.
        above, below: ends of the open interval.
        exactly: the one value that is allowed, instead of an interval.
        law: statements that it follows from, such as T1–T9.
        run: which run decides, where several are declared.

    Raises:
        ValueError: neither an end nor a value, both, or an empty interval.
    """

    id: str
    says: str
    quantity: str
    measured: str
    rival: str
    above: float = -math.inf
    below: float = math.inf
    exactly: float = math.nan
    law: str = ""
    run: str = "main"

    def __post_init__(self) -> None:
        open_ = math.isfinite(self.above) or math.isfinite(self.below)
        if open_ == math.isfinite(self.exactly) or self.above >= self.below:
            raise ValueError("needs ends `above` < `below`, one of them, or `exactly` one value")

    def judge(self, value: float | None) -> Word:
        """The outcome for a measured value; None is a quantity that this run could not define."""
        if value is None:
            return "not decided"
        inside = value == self.exactly or (math.isnan(self.exactly) and self.above < value < self.below)
        return "as predicted" if inside else "refuted"

    @property
    def interval(self) -> str:
        """The interval in words, e.g. ``below 0.5``."""
        if math.isfinite(self.exactly):
            return f"exactly {self.exactly:g}"
        if math.isinf(self.above):
            return f"below {self.below:g}"
        return f"above {self.above:g}" if math.isinf(self.below) else f"{self.above:g} to {self.below:g}"


def read(path: Path) -> tuple[Hypothesis, ...]:
    """The declared predictions, in the order of the file.

    Raises:
        EntryError: the file names something else than the attributes above, or not all of them.
    """
    content = entries.read(path, ("predictions", "runs"))
    where = f"{entries.shown(path)}, prediction"
    return tuple(
        entries.build(Hypothesis, entry, f"{where} {name}", id=name)
        for name, entry in entries.mapping(content["predictions"], where).items()
    )


def outcomes(found: Mapping[str, float], declared: Sequence[Hypothesis]) -> pd.DataFrame:
    """Each prediction, its interval, what was measured, and whether it lies inside."""
    rows = []
    for one in declared:
        value = found.get(one.quantity)
        rows.append(
            {
                "": one.id,
                "prediction": one.says,
                "declared": one.interval,
                "measured": "not measured" if value is None else f"{value:.3g}",
                "outcome": "open" if value is None else one.judge(value),
            }
        )
    return pd.DataFrame(rows).set_index("")

"""What was declared of the alarm, and what came out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from book.study import entries
from book.study.intervals import Interval
from book.study.practice.alarm import Rates, rates
from lib import records

EXPERIMENT = "book/runs/alarm.ipynb"
FILE = Path(__file__).with_name("alarm.yml")
DECLARED: Mapping[str, Any] = entries.read(FILE, ("failure", "threshold", "runs", "predictions"))
FAILURE, THRESHOLD = float(DECLARED["failure"]), float(DECLARED["threshold"])


@dataclass(frozen=True)
class Prediction:
    """A sentence, the share that decides it (`Rates.sensitivity` or `.false_alarms`) and its bound."""

    says: str
    quantity: str
    above: float = -math.inf
    below: float = math.inf


def load_runs() -> dict[str, records.Measured]:
    """The declared runs that have been measured."""
    found = {}
    for name, params in DECLARED["runs"].items():
        try:
            found[name] = records.load_measured(EXPERIMENT, **params)
        except records.StaleResultError:
            continue
    return found


def rates_of(record: records.Record) -> Rates:
    """How the declared alarm did on one run."""
    return rates(record["signal"], record["error"], THRESHOLD, FAILURE)


def outcome(name: str, runs: Mapping[str, records.Measured]) -> tuple[Prediction, Interval | None, str]:
    """A prediction, the share measured, and "kept", "refuted", or "open" where the run is missing."""
    entry = dict(DECLARED["predictions"][name])
    run = entry.pop("in")
    one = entries.build(Prediction, entry, f"{entries.shown(FILE)}, {name}")
    if run not in runs:
        return one, None, "open"
    share: Interval = getattr(rates_of(runs[run].record), one.quantity)
    if math.isnan(share.median):
        return one, share, "open"
    return one, share, "kept" if one.above < share.median < one.below else "refuted"

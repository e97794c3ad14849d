"""Errors at lengths that a CPU cannot follow, and what `declared.yml` said of them before a card had run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from book.study import hypothesis
from lib import records

DECLARED = Path(__file__).with_name("declared.yml")
ERROR = "rotation_from_frame_0"


@dataclass(frozen=True, order=True)
class Case:
    """One way of running one network at one length."""

    network: str
    arm: str
    frames: int

    @classmethod
    def of(cls, words: str) -> Case:
        """From "mini plain 2048"."""
        network, arm, frames = words.split()
        return cls(network, arm, int(frames))


Errors = dict[Case, dict[int, float]]  # degrees by room


def errors(found: Sequence[records.Record]) -> Errors:
    """Rotation errors by room of every case, from the records of job "lengths"."""
    together: Errors = {}
    for record in (one for one in found if "refused" not in one.measurements):
        rooms = range(*record.params["rooms"])
        for key in record.measurements:
            where, _, name = key.partition(": ")
            if name != ERROR:
                continue
            network, _, arm = where.partition(", ")
            case = together.setdefault(Case(network, arm, record.params["frames"]), {})
            case |= {room: v for room, v in zip(rooms, record[key], strict=True) if v is not None}
    return together


def pair(found: Errors, quantity: str) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Errors of both sides of "A / B" in the rooms that both have; None without such rooms."""
    above, below = (found.get(Case.of(words), {}) for words in quantity.split(" / "))
    rooms = sorted(above.keys() & below.keys())
    if not rooms:
        return None
    return np.array([above[room] for room in rooms]), np.array([below[room] for room in rooms])


def ratios(found: Errors) -> dict[str, float]:
    """Every declared quantity that can be had: the ratio of mean errors over common rooms."""
    sides = {one.quantity: pair(found, one.quantity) for one in hypothesis.read(DECLARED)}
    return {name: float(both[0].mean() / both[1].mean()) for name, both in sides.items() if both is not None}


def outcomes(found: Errors) -> pd.DataFrame:
    """What was declared and what came out."""
    return hypothesis.outcomes(ratios(found), hypothesis.read(DECLARED))

"""Walks of 1,024 frames: what decides the predictions, on made errors."""

from __future__ import annotations

import numpy as np
import pytest

from book.study import hypothesis
from book.study.networks import farther
from book.study.networks.longest import ALIKE
from book.study.networks.seeds import SEEDS


def rooms(at_512: float, at_1024: float) -> dict[int, np.ndarray]:
    few = np.linspace(1, 2, 8)
    return {8: few, 512: at_512 * few, 1024: at_1024 * few}


def test_every_declared_quantity() -> None:
    at = {4: (2.0, 3.0), 12: (1.5, 1.8), 24: (1.0, 1.2)}
    found = {name: rooms(*at[most]) for most, names in SEEDS.items() for name in names}
    found |= dict.fromkeys(ALIKE, rooms(1.0, 0.9))
    said = farther.quantities(found)
    assert [*said] == [one.quantity for one in hypothesis.read(farther.DECLARED_FARTHER)]
    assert said == pytest.approx(
        {"farther_alike": 0.9, "farther_stay": 1, "farther_growth": 1.2, "farther_least": 1.2 / 1.8}
    )
    healed = found | {SEEDS[4][0]: rooms(2.0, 0.5)}
    assert farther.quantities(healed)["farther_stay"] == pytest.approx(5 / 6), (
        "one of six that failed does not"
    )

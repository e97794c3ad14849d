"""What is declared about networks of other shapes, from arrays whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from book.study import hypothesis
from book.study.networks import designs

LENGTHS = [8, 16, 32, 64, 128]


def test_every_declared_quantity_is_measured_and_nothing_else():
    keys = np.log(np.array(LENGTHS, float))[:, None, None] * np.ones((5, 2, 3))
    errors = {"plain": np.array([2.0, 4.0]), "anchored": np.array([1.0, 2.0])}
    walks = np.array([9.0, 3.0]), np.array([2.0, 2.0])
    found: dict[str, float] = {}
    for shape in designs.SHAPES:
        found |= designs.ratios(shape, {"entropy": keys}, LENGTHS, errors, walks)
    least = {"seed1_least", "seed1_few_least", "patch4_least"}  # numbers of the family: `general.resists`
    assert {one.quantity for one in hypothesis.read(designs.DECLARED_SHAPES)} == found.keys() | least
    assert found["patch4_dilution"] == pytest.approx(1) and found["deep12_anchor"] == 0.5
    assert found["large_growth"] == 3
    assert designs.ratios("large", {"entropy": keys}, LENGTHS).keys() == {"large_dilution"}

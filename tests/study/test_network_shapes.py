"""What is declared about networks of other shapes, from arrays whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from book.study import hypothesis
from book.study.hold import Hold
from book.study.networks import designs
from book.study.networks.readers import READERS, foretold, readers

LENGTHS = [8, 16, 32, 64, 128]
POWERS = np.array([1, 1, 1, 0.5, 0.25, 1, 0.75, 1, 0.125, 1, 1, 1]) * np.ones((3, 1))  # by block


def test_every_declared_quantity_is_measured_and_nothing_else():
    keys = np.log(np.array(LENGTHS, float))[:, None, None] * np.ones((5, 2, 3))
    errors = {"plain": np.array([2.0, 4.0]), "anchored": np.array([1.0, 2.0])}
    walks = np.array([9.0, 3.0]), np.array([2.0, 2.0])
    found: dict[str, float] = {}
    for shape in (*designs.SHAPES, *READERS, "untracked"):
        found |= designs.ratios(shape, {"entropy": keys}, LENGTHS, errors, walks)
    by_block = {"entropy": np.log(np.array(LENGTHS, float))[:, None, None] * POWERS}
    for shape in READERS:
        found |= readers(shape, by_block, LENGTHS)
    least = {f"{one}_least" for one in ("seed1", "seed1_few", "patch4", "untracked")}  # of `general.resists`
    assert {one.quantity for one in hypothesis.read(designs.DECLARED_SHAPES)} == found.keys() | least
    assert found["patch4_dilution"] == pytest.approx(1) and found["deep12_anchor"] == 0.5
    assert found["large_growth"] == 3
    assert found["moved_reader"] == pytest.approx(0.25) and found["moved_former"] == pytest.approx(0.5)
    assert found["deep12_reader"] == pytest.approx(0.125) and found["deep12_former"] == pytest.approx(0.5)
    assert designs.ratios("large", {"entropy": keys}, LENGTHS).keys() == {"large_dilution"}


def test_what_a_law_foretells_of_blocks_that_follow_it_is_what_is_measured():
    blocks = [
        Hold(50.0, held=3.0, others=2.0).entropy(LENGTHS),
        Hold(1e-2, held=1.0, others=9.0).entropy(LENGTHS),
    ]
    by_law, by_power = foretold({"entropy": np.stack([blocks] * 4).transpose(2, 0, 1)}, LENGTHS)
    assert np.abs(by_law).max() < 1e-2
    assert by_power[0] < -0.1 and abs(by_power[1]) < 1e-2

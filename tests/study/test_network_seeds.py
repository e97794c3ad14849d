"""What is declared about seeds, and the share of pairs of trainings that are in order."""

from __future__ import annotations

import numpy as np
import pytest

from book.study import hypothesis
from book.study.networks import designs, seeds

LENGTHS = [8, 16, 32, 64, 128]


def test_every_declared_quantity_is_measured():
    keys = np.log(np.array(LENGTHS, float))[:, None, None] * np.ones((5, 2, 3))
    errors = {"plain": np.array([2.0, 4.0]), "anchored": np.array([1.0, 2.0])}
    walks = np.array([9.0, 3.0]), np.array([2.0, 2.0])
    found = {"seeds_order"} | {f"{name}_least" for name in seeds.NAMES}
    for name in seeds.NAMES:
        found |= designs.ratios(name, {"entropy": keys}, LENGTHS, errors, walks).keys()
    declared = [one.quantity for one in hypothesis.read(seeds.DECLARED_SEEDS)]
    assert set(declared) <= found and len(set(declared)) == len(declared) == 10


def test_every_network_has_its_own_predictions():
    assert [one.id for one in seeds.declared("seed1")] == ["N22", "N23", "N24", "N25"], (
        "and none of seed1_few"
    )
    assert [one.id for one in seeds.declared("seed1_few", "seeds")] == ["N27", "N28", "N29", "N30", "N55"]
    shown = [one.id for one in seeds.declared(*seeds.NAMES)]
    assert len(set(shown)) == len(shown) == 18
    assert seeds.declared("seed") == []


def test_pairs_are_in_order_when_more_frames_leave_less():
    assert seeds.order({4: [0.9, 0.8], 12: [0.5], 24: [0.1, 0.2]}) == 1
    assert seeds.order({24: [0.9], 4: [0.1]}) == 0, "frames are sorted, whatever the order they are given in"
    # 4 against 12: two of two; 4 against 24: one of two; 12 against 24: none of one
    assert seeds.order({4: [0.9, 0.6], 12: [0.5], 24: [0.7]}) == pytest.approx(3 / 5)
    assert seeds.order({4: [0.5], 12: [0.5]}) == 0, "equal is not less"


@pytest.mark.parametrize("least", [{}, {4: [0.5]}, {4: [0.5], 12: []}])
def test_too_few_networks_are_refused(least):
    with pytest.raises(ValueError, match="two numbers of frames or more"):
        seeds.order(least)


def test_nine_trainings_three_of_each():
    names = [name for group in seeds.SEEDS.values() for name in group]
    assert sorted(map(len, seeds.SEEDS.values())) == [3, 3, 3] and len(set(names)) == 9
    assert {*seeds.NAMES.values()} - {"all nine"} < {*names}

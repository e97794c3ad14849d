"""Draws of a rule beside the spread over scenes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from book.study.draws import Draws
from book.study.intervals import Interval


def interval(median, half=1.0):
    return Interval(median, median - half, median + half)


def test_a_draw_that_matters_less_than_scenes_and_one_that_matters_more():
    calm = Draws({33: interval(1.0), 34: interval(1.5), 35: interval(1.2)})
    assert calm.range == pytest.approx(0.5) and calm.against_scenes == pytest.approx(0.25)
    wild = Draws({33: interval(1.0, half=0.1), 34: interval(2.0, half=0.1)})
    assert wild.against_scenes == pytest.approx(5)


def test_without_width_any_difference_is_larger_than_scenes():
    assert Draws({1: interval(2.0, half=0), 2: interval(2.0, half=0)}).against_scenes == 0
    assert Draws({1: interval(2.0, half=0), 2: interval(2.1, half=0)}).against_scenes == float("inf")


def test_one_side_asks_for_all_draws_and_whole_intervals():
    assert Draws({1: interval(3.0), 2: interval(2.0)}).one_sided(0)
    assert Draws({1: interval(-3.0), 2: interval(-2.0)}).one_sided(0)
    assert not Draws({1: interval(3.0), 2: interval(0.5)}).one_sided(0)
    assert not Draws({1: interval(3.0), 2: interval(-3.0)}).one_sided(0)


def test_one_seed_is_no_comparison():
    with pytest.raises(ValueError, match=r"\[33\]"):
        Draws({33: interval(1.0)})


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=6), st.floats(0.1, 5), st.floats(-30, 30))
def test_shift_and_unit_of_the_quantity_do_not_matter(medians, unit, shift):
    plain = Draws({k: interval(m) for k, m in enumerate(medians)})
    moved = Draws({k: interval(unit * m + shift, half=unit) for k, m in enumerate(medians)})
    assert moved.against_scenes == pytest.approx(plain.against_scenes, abs=1e-9)

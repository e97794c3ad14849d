"""Keys that hold on: the law against attention made of it, and fits that find what was put in."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy

from book.study.hold import HALVES, Hold, carried_on, fit, foretold
from book.study.real_heads.draw import held

FRAMES = [8, 16, 32, 64, 128]


@pytest.mark.parametrize("frames", [1, 8, 100])
def test_the_law_is_the_entropy_of_attention_with_equal_keys_of_two_kinds(frames: int) -> None:
    """Three keys of odds 12 hold on; each frame brings five keys of odds one."""
    weights = np.array([12.0] * 3 + [1.0] * 5 * frames)
    law = Hold(half=36 / 5, held=3, others=5)
    assert law.entropy(frames) == pytest.approx(entropy(weights))


def test_its_power_is_the_slope_and_passes_one_where_the_hold_is_lost() -> None:
    law = Hold(half=200.0, held=2.0, others=10.0)
    at = np.array([20.0, 200.0, 2000.0])
    step = 1e-5
    slope = (law.entropy(at * np.exp(step)) - law.entropy(at * np.exp(-step))) / (2 * step)
    assert law.power(at) == pytest.approx(slope, rel=1e-6)
    assert law.power(1e-3) == pytest.approx(0, abs=1e-4) and law.power(1e9) == pytest.approx(1, abs=1e-4)
    assert law.power(200.0) > 1


@pytest.mark.parametrize("half", [HALVES[500], HALVES[700], HALVES[900]])
def test_a_fit_to_three_lengths_finds_the_law_and_says_the_others(half: float) -> None:
    law = Hold(float(half), held=4.0, others=1.5)
    found = fit(FRAMES[:3], law.entropy(FRAMES[:3]))
    assert (found.half, found.held, found.others) == pytest.approx((law.half, law.held, law.others), rel=1e-6)
    assert found.entropy(FRAMES) == pytest.approx(law.entropy(FRAMES))


def test_where_nothing_holds_on_keys_grow_with_the_frames() -> None:
    found = fit(FRAMES[:3], np.log(7.0 * np.array(FRAMES[:3])))
    assert found.entropy(FRAMES) == pytest.approx(np.log(7.0 * np.array(FRAMES)), abs=1e-3)


def test_a_power_carried_on_is_a_straight_line_through_the_last_two() -> None:
    assert carried_on([8, 16, 32], np.array([9.0, 1.0, 1.5]), 128) == pytest.approx(2.5)


def test_three_unknowns_need_three_lengths() -> None:
    with pytest.raises(ValueError, match="three unknowns"):
        fit([8, 16], np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="three unknowns"):
        fit([8, 16, 32], np.array([1.0, 2.0]))


def test_what_a_law_foretells_of_blocks_that_follow_it_is_what_is_measured() -> None:
    blocks = [
        Hold(50.0, held=3.0, others=2.0).entropy(FRAMES),
        Hold(1e-2, held=1.0, others=9.0).entropy(FRAMES),
    ]
    by_law, by_power = foretold(FRAMES, np.stack([blocks] * 4).transpose(2, 0, 1))
    assert np.abs(by_law).max() < 1e-2
    assert by_power[0] < -0.1 and abs(by_power[1]) < 1e-2


def test_the_picture_shows_the_sharpest_block_and_the_law_beyond_what_it_was_shown() -> None:
    laws = Hold(1e-2, held=1.0, others=9.0), Hold(float(HALVES[800]), held=3.0, others=0.5)
    entropy = np.stack([np.stack([law.entropy(FRAMES) for law in laws], -1)] * 4, 1)
    (ax,) = held({"one": entropy}, {"one": 12}, FRAMES).axes
    known, foreseen, shown, hidden = (line.get_data() for line in ax.lines[:4])
    keys = np.exp(laws[1].entropy(FRAMES))
    assert (known[0][0], known[0][-1], foreseen[0][-1]) == pytest.approx((8, 32, 128))
    assert foreseen[1][-1] == pytest.approx(keys[-1], rel=1e-3)
    assert list(shown[1]) == pytest.approx(keys[:3]) and list(hidden[1]) == pytest.approx(keys[3:])

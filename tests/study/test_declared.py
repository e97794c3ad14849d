"""The declared predictions: their intervals as they were before the first run, and how they are judged."""

import math

import pytest

from book.study import entries
from book.study.hypothesis import Hypothesis, read
from book.study.predictions.declared import PREDICTIONS, SECOND

INF = math.inf
DECLARED = {  # id -> quantity and ends; equal ends allow one value. Results exist: nothing here may change.
    "P1": ("profile_shift", -INF, 0.10),
    "P2": ("copies_change", -INF, 1e-5),
    "P3a": ("slope_keys", 1.7, 2.3),
    "P3b": ("slope_queries", 0.8, 1.3),
    "P4": ("sign_right", 0.75, INF),
    "P5": ("delay_exponent", -INF, 0.5),
    "P6a": ("saturated_difference", 0.0, 0.0),
    "P6b": ("rank_turns", 0.0, INF),
    "P6c": ("spread_turns", 0.0, INF),
    "P7a": ("dynamic_share_biased", -INF, 0.25),
    "P7b": ("static_share_plain", 0.1, INF),
    "P8": ("token_against_frame", -INF, 0.0),
    "P9a": ("repeats_over_new", -INF, 0.5),
    "P9b": ("new_frames_effect", -INF, 0.0),
    "P10": ("moved_rank_correlation", 0.0, INF),
    "P11": ("random_odds_factor", -INF, 2.6),
    "P12": ("late_slope", -2.0, -1.0),
    "P13": ("static_over_fitted", -INF, 1.0),
}

SECOND_ROUND = {  # the same of the second round
    "P14a": ("first_change_sign", 0.75, INF),
    "P14b": ("first_change_correlation", 0.7, INF),
    "P14c": ("first_change_slope", 0.7, 1.3),
    "P15": ("summed_change_sign", 0.6, INF),
    "P16a": ("sink_error", -INF, 0.06),
    "P16b": ("sink_error", -INF, 0.12),
    "P16c": ("sink_error", -INF, 0.2),
    "P16d": ("sink_error", -INF, 0.25),
    "P16e": ("sink_error", -INF, 0.12),
    "P17a": ("sink_restored", -INF, 0.03),
    "P17b": ("sink_restored", -INF, 0.03),
    "P17c": ("sink_restored", -INF, 0.05),
    "P18": ("sink_strongest", 0.5, INF),
    "P19a": ("sink_merged_plain", -INF, 0.07),
    "P19b": ("sink_merged_biased", -INF, 0.07),
    "P20a": ("odds_global_uniform", 0.4, INF),
    "P20b": ("odds_frame_uniform", 0.7, INF),
    "P20c": ("odds_law_sign", 0.8, INF),
    "P20d": ("odds_law_error", -INF, 0.35),
    "P21a": ("late_slope_law", -INF, 0.6),
    "P21b": ("late_slope_uniform", -INF, 1.4),
    "P22a": ("null_weak", 0.95, 1.05),
    "P22b": ("null_turn", 0.1, INF),
    "P22c": ("null_in_sink", 1.05, INF),
    "P23a": ("dynamic_share_biased", -INF, 0.25),
    "P23b": ("static_share_plain", 0.7, INF),
    "P23c": ("dynamic_against_static", -0.3, 0),
    "P24": ("entry_error", -INF, 0.06),
    "P25": ("initial_correlation", 0.9, INF),
    "P26a": ("turn_ratio", -INF, 1),
    "P26b": ("turn_ratio", -INF, 1),
}


def test_quantities_and_intervals_are_those_that_were_declared():
    for predictions, declared in ((PREDICTIONS, DECLARED), (SECOND, SECOND_ROUND)):
        found = {}
        for p in predictions:
            low, high = (p.exactly, p.exactly) if math.isfinite(p.exactly) else (p.above, p.below)
            found[p.id] = (p.quantity, low, high)
        assert found == declared
        assert list(found) == list(declared)


@pytest.mark.parametrize("p", PREDICTIONS, ids=lambda p: p.id)
def test_judged_by_an_open_interval_or_one_value(p):
    _, low, high = DECLARED[p.id]
    assert p.judge(None) == "not decided"
    for value in (low, high, math.nextafter(low, INF), math.nextafter(high, -INF), math.nan):
        inside = value == low if low == high else low < value < high
        assert p.judge(value) == ("as predicted" if inside else "refuted")


def test_intervals_in_words():
    words = {p.id: p.interval for p in PREDICTIONS}
    assert words["P1"] == "below 0.1" and words["P4"] == "above 0.75"
    assert words["P6a"] == "exactly 0" and words["P12"] == "-2 to -1"


@pytest.mark.parametrize(
    "ends", [{}, {"above": 1.0, "below": 1.0}, {"above": 0.0, "exactly": 1.0}, {"above": 2.0, "below": 1.0}]
)
def test_refuses_no_end_an_empty_interval_and_both(ends, tmp_path):
    with pytest.raises(ValueError, match="exactly"):
        Hypothesis("P", "says", "q", "m", "r", **ends)
    lines = "".join(f"    {k}: {v}\n" for k, v in ends.items())
    text = (
        "predictions:\n  P1:\n    law: T1\n    says: s\n    quantity: q\n    measured: m\n    rival: r\n"
        + lines
    )
    (tmp_path / "declared.yml").write_text(text)
    with pytest.raises(entries.EntryError, match=r"declared\.yml, prediction P1: needs"):
        read(tmp_path / "declared.yml")

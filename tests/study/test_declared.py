"""The declared predictions: their intervals as they were before the first run, and how they are judged."""

import math

import pytest

from book.study import entries
from book.study.predictions.declared import PREDICTIONS, Hypothesis, read

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


def test_quantities_and_intervals_are_those_that_were_declared():
    found = {}
    for p in PREDICTIONS:
        low, high = (p.exactly, p.exactly) if math.isfinite(p.exactly) else (p.above, p.below)
        found[p.id] = (p.quantity, low, high)
    assert found == DECLARED
    assert list(found) == list(DECLARED)


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
        Hypothesis("P", "T", "says", "q", "m", "r", **ends)
    lines = "".join(f"    {k}: {v}\n" for k, v in ends.items())
    text = (
        "predictions:\n  P1:\n    law: T1\n    says: s\n    quantity: q\n    measured: m\n    rival: r\n"
        + lines
    )
    (tmp_path / "declared.yml").write_text(text)
    with pytest.raises(entries.EntryError, match=r"declared\.yml, prediction P1: needs"):
        read(tmp_path / "declared.yml")

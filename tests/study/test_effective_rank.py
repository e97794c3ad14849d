"""Forensics of Table 1: envelopes, sizes behind ranks, merging from the largest, a model without layers."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from book.study.effective_rank import forensics
from book.study.effective_rank.forensics import StaticModel, fitted_interval
from book.study.fits import Fit, polynomial
from book.study.paper import printed as paper

X = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
Y = np.array([0.2, 0.9, 0.4, 0.8, 0.1])


@given(st.lists(st.floats(-1, 1), min_size=5, max_size=5), st.floats(0.001, 0.3))
def test_fitted_interval_is_attained_at_corners_and_never_left(values, half):
    y, design = np.array(values), polynomial(X, 1)
    low, high = fitted_interval(design, y - half, y + half)
    corners = np.array([y + half * np.array(s) for s in itertools.product((-1, 1), repeat=5)])
    fits = np.array([Fit(design, corner).fitted for corner in corners])
    assert fits.min(0) == pytest.approx(low, abs=1e-9)
    assert fits.max(0) == pytest.approx(high, abs=1e-9)


@given(st.floats(0.2, 0.95), st.integers(3, 5000))
def test_implied_size_contains_the_size_it_was_made_with(entropy, size):
    rank = size**entropy
    low, high = forensics.implied_size([round(rank, 3)], [round(entropy, 5)], 0.5e-3, 0.5e-5)
    assert low[0] <= size * (1 + 1e-9) and size * (1 - 1e-9) <= high[0]


def test_merging_takes_from_the_largest_and_removes_what_was_asked():
    p = np.array([0.5, 0.3, 0.1, 0.06, 0.04])
    assert forensics.merge_largest(p, 0.0) == pytest.approx(p)
    assert forensics.merge_largest(p, 0.1) * 0.9 == pytest.approx([0.4, 0.3, 0.1, 0.06, 0.04])
    assert forensics.merge_largest(p, 0.4) * 0.6 == pytest.approx([0.2, 0.2, 0.1, 0.06, 0.04])
    assert forensics.merge_largest(p, 0.9) == pytest.approx(np.full(5, 0.2))
    with pytest.raises(ValueError, match=r"1\.0"):
        forensics.merge_largest(p, 1.0)


@given(st.integers(2, 40), st.floats(0, 2), st.floats(0, 0.95))
def test_merging_conserves_the_rest(size, exponent, m):
    p = forensics.zipf_shares(size, exponent)
    left = forensics.merge_largest(p, m)
    assert left.sum() == pytest.approx(1)
    assert np.all(left * (1 - m) <= p + 1e-12)
    assert np.all(np.diff(left) <= 1e-12)


def test_cluster_entropy_is_that_of_the_whole_attention_matrix():
    counts, logit = np.array([7, 4, 2, 1]), 1.3
    label = np.repeat(np.arange(4), counts)
    weights = np.exp(logit * (label[:, None] == label))
    values = np.linalg.svd(weights / weights.sum(1, keepdims=True), compute_uv=False)
    p = values / values.sum()
    p = p[p > 1e-14]
    expected = -(p * np.log(p)).sum() / math.log(4)
    assert forensics.cluster_entropy(counts / counts.sum(), logit) == pytest.approx(expected, abs=1e-10)


def test_static_model_is_recovered_from_its_own_entropies():
    truth = StaticModel(0.8, 2.5, 30)
    found = StaticModel.fit(X, truth.entropies(X), 30)
    assert (found.exponent, found.logit) == pytest.approx((0.8, 2.5), rel=1e-3)


def test_printed_theory_is_the_least_squares_line_within_rounding():
    half = 0.5 * 10 ** -paper.decimals(1, "rank_measured")
    ranks, printed = np.array(paper.table_1("rank_measured")), np.array(paper.table_1("rank_theory"))
    low, high = fitted_interval(polynomial(X, 1), np.log(ranks - half), np.log(ranks + half))
    assert np.all(np.exp(low) - half <= printed) and np.all(printed <= np.exp(high) + half)

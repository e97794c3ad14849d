"""The law for Table 1: thinning is merging where merged tokens are alike; no rival sees its answer."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from book.study.predictions import draw_thinning, thinning
from lib.merging import FastVGGTRule, TokenLayout, UniformRule

LAYOUT = TokenLayout(4, 4, 4, 2)
EVERY = [FastVGGTRule(0.3, seed=1), FastVGGTRule(0.9, seed=1), UniformRule(0.5, seed=1).unprotected()]


@pytest.mark.parametrize("rule", EVERY)
def test_thinning_is_merging_where_groups_have_no_radius(rule):
    """The keys and queries of every group are those of the token that stays; then no order is left out."""
    g = torch.Generator().manual_seed(0)
    plan = rule.plan(torch.randn(1, LAYOUT.tokens, 8, generator=g), LAYOUT)
    q, k = torch.randn(2, 1, 3, LAYOUT.tokens, 8, generator=g)
    for x in (q, k):
        x[:, :, plan.sources[0]] = x[:, :, plan.destinations[0]]
    rows = thinning.staying(rule, plan, LAYOUT)
    assert len(rows) == plan.key_length
    merged = thinning.spectra(plan.merge_queries(q)[0], plan.merge_keys(k)[0], 0.4)
    np.testing.assert_allclose(thinning.spectra(q[0, :, rows], k[0, :, rows], 0.4), merged, atol=1e-5)


def test_a_rival_is_exact_on_its_own_curve_and_does_not_see_the_answer():
    m = np.array([[0.0, 0.1, 0.3, 0.5, 0.9]])
    curve = np.stack([np.exp(1 + 2 * m), 1 - 0.3 * m, 2 + m], axis=-1)
    np.testing.assert_allclose(thinning.held_out("paper", m, curve), curve)
    np.testing.assert_allclose(thinning.held_out("neighbours", m, curve)[..., 1:], curve[..., 1:])
    assert (thinning.held_out("constant", m, curve) == curve[:, :1]).all()
    changed = curve.copy()
    changed[:, 2] *= 3
    for rival in thinning.RIVALS:
        before, after = (thinning.held_out(rival, m, c)[:, 2] for c in (curve, changed))
        np.testing.assert_allclose(after, before)


def test_the_count_alone_follows_the_power_of_halves():
    """A matrix whose half has 2^−½ of the rank has (N′/N)^½ of it; entropies in nats, two heads."""
    plain, half = np.full((1, 1, 2, 2), np.log(40.0)), np.full((1, 1, 2, 2), np.log(40 / np.sqrt(2)))
    counts = np.repeat(np.arange(90.0, 0, -10)[None, :, None], 2, axis=2)
    any_ = np.ones((1, 9, 1, 2, 2))
    arrays = {"plain": plain, "half": half, "law": any_, "merged": any_, "counts": counts}
    found = thinning.curves(arrays | {"tokens": np.array([100.0])}, "uniform").guesses["their count"]
    np.testing.assert_allclose(found[0, 1:, 0], 40 * np.sqrt(counts[0, 4:, 0] / 100))


def test_what_is_declared_is_measured():
    assert {p.quantity for p in thinning.DECLARED} <= set(thinning.QUANTITIES)
    assert len({p.id for p in thinning.DECLARED}) == len(thinning.DECLARED)
    assert {p.run for p in thinning.DECLARED} <= set(thinning.RUNS)


def test_errors_by_block_are_read_at_the_strength_of_the_rule():
    law = np.zeros((1, 9, 2, 3, 2))
    law[:, 6, 1, :, 0] = np.log(1.5)  # uniform, m = 0.5, second block
    record = SimpleNamespace(arrays={"law": law, "merged": np.zeros_like(law)})
    np.testing.assert_allclose(draw_thinning.by_block(record, "uniform", 0.5), [0, 0.5])
    np.testing.assert_allclose(draw_thinning.by_block(record, "released", 0.5), [0, 0])

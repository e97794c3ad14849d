"""The adaptive rule: what a tolerance guarantees, its two budgets, its caps."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.merging import AdaptiveRule, TokenLayout, UniformRule

LAYOUT = TokenLayout(4, 6, 6)


def tokens(seed: int, noise: float = 0.5, batch: int = 1) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    common = torch.randn(batch, 1, 24, generator=g)
    return common + noise * torch.randn(batch, LAYOUT.tokens, 24, generator=g)


def within_share(x: torch.Tensor, plan) -> float:
    """Share of the squared directions around the means of the plan's groups, from its rows alone."""
    u = torch.nn.functional.normalize(x, dim=-1)
    means = plan.unmerge(plan.merge_keys(u[:, None])[:, 0])
    return float((u - means).square().sum(-1).mean())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0.001, 0.5), st.floats(0.05, 1.0))
def test_no_block_loses_more_than_the_tolerance(seed, tolerance, noise):
    x = tokens(seed, noise)
    plan = AdaptiveRule(tolerance, protect_first_frame=False).plan(x, LAYOUT)
    assert plan is None or within_share(x, plan) <= tolerance + 1e-5


@pytest.mark.parametrize("budget", ["block", "pair"])
def test_tokens_that_are_more_alike_merge_more(budget):
    kept = [
        1.0 if plan is None else plan.kept
        for noise in (0.01, 0.1, 2.0)
        for plan in [AdaptiveRule(0.04, budget=budget).plan(tokens(0, noise), LAYOUT)]
    ]
    assert kept[0] <= kept[1] < kept[2] and kept[2] > 0.9


def test_pair_budget_merges_exactly_the_pairs_within_it():
    x, free = tokens(3), AdaptiveRule(4.0, budget="pair").plan(tokens(3), LAYOUT)
    cosine = torch.nn.functional.cosine_similarity(x[0, free.sources[0]], x[0, free.destinations[0]], dim=-1)
    loss = 2 * (1 - cosine)
    for tolerance in (float(loss.median()) + 1e-5, 0.05):
        plan = AdaptiveRule(tolerance, budget="pair").plan(x, LAYOUT)
        count = 0 if plan is None else plan.sources.shape[1]
        assert count == int((loss <= tolerance).sum())


def test_without_a_limit_it_is_the_uniform_rule_at_the_same_m():
    x = tokens(1)
    adaptive = AdaptiveRule(4.0).plan(x, LAYOUT)
    uniform = UniformRule(1 - adaptive.kept, matching="features").plan(x, LAYOUT)
    assert torch.equal(adaptive.output_rows, uniform.output_rows)
    assert adaptive.key_length == uniform.key_length


def test_duplicates_merge_at_no_tolerance_and_different_tokens_do_not():
    x = tokens(2, 1.0)
    assert AdaptiveRule(0.0).plan(x, LAYOUT) is None
    frames = x.view(1, 4, -1, 24)
    same = frames[:, 1:2].expand(-1, 4, -1, -1).reshape(x.shape)
    plan = AdaptiveRule(0.0).plan(same, LAYOUT)
    assert plan.kept < 1 and within_share(same, plan) < 1e-6


@settings(max_examples=25, deadline=None)
@given(st.floats(3e-3, 0.5), st.floats(0.1, 10.0))
def test_only_rows_of_one_direction_are_duplicates(angle, length):
    """Twins of another length merge at no tolerance; twins turned by an angle wait for 2 (1 - cos) of it."""
    layout = TokenLayout(2, 2, 4, special=0)  # a stride of 4 leaves one destination, which has one twin
    rule = {"protect_first_frame": False, "budget": "pair", "stride": 4}
    target = int(AdaptiveRule(4.0, **rule).plan(torch.eye(16)[None], layout).destinations[0, 0])
    twin, axes = (target + 3) % 16, torch.eye(16)
    x = torch.eye(16)
    x[twin] = length * axes[target]
    plan = AdaptiveRule(0.0, **rule).plan(x[None], layout)
    assert (plan.sources.tolist(), plan.destinations.tolist()) == ([[twin]], [[target]])
    x[twin] = math.cos(angle) * axes[target] + math.sin(angle) * axes[twin]
    loss = 2 * (1 - math.cos(angle))
    assert AdaptiveRule(0.9 * loss, **rule).plan(x[None], layout) is None
    assert AdaptiveRule(1.1 * loss, **rule).plan(x[None], layout).sources.tolist() == [[twin]]


@pytest.mark.parametrize(("loss", "merges"), [(0.6e-6, True), (1.5e-6, False)])
def test_a_millionth_is_rounding_and_more_is_not(loss, merges):
    layout = TokenLayout(2, 2, 4, special=0)
    rule = AdaptiveRule(0.0, protect_first_frame=False, budget="pair", stride=4)
    target = int(replace(rule, tolerance=4.0).plan(torch.eye(16)[None], layout).destinations[0, 0])
    x, twin = torch.eye(16), (target + 3) % 16
    x[twin] = math.cos(loss**0.5) * x[target] + math.sin(loss**0.5) * x[twin]
    assert (rule.plan(x[None], layout) is not None) == merges


def test_pairs_within_a_tolerance_by_hand():
    """A block adds them up and divides by all its tokens; a pair stands for itself. The bound is within."""
    losses = torch.tensor([0.25, 0.5, 1.0])
    for total, pairs in ((0.0, 0), (0.25, 1), (0.5, 1), (0.75, 2), (1.5, 2), (1.75, 3)):
        assert AdaptiveRule(total / 4).permitted(losses, 4) == pairs
    for most, pairs in ((0.0, 0), (0.25, 1), (0.5, 2), (0.75, 2), (1.0, 3)):
        assert AdaptiveRule(most, budget="pair").permitted(losses, 4) == pairs


@pytest.mark.parametrize(("stride", "destinations"), [(2, 27), (3, 12)])
def test_all_but_one_free_token_in_a_square_of_the_stride_may_merge(stride, destinations):
    """Of 108: those of three frames of 6 x 6 patches."""
    rule = AdaptiveRule(4.0, stride=stride)
    assert rule.plan(tokens(0), LAYOUT).sources.shape == (1, 108 - destinations)
    assert rule.scored_pairs(LAYOUT) == (108 - destinations) * destinations
    assert AdaptiveRule(4.0, most=0.0).scored_pairs(LAYOUT) == 0


def test_of_two_free_tokens_one_may_merge():
    layout = TokenLayout(2, 1, 2, special=0)
    plan = AdaptiveRule(4.0).plan(tokens(0)[:, :4], layout)
    assert sorted([*plan.sources[0].tolist(), *plan.destinations[0].tolist()]) == [2, 3]
    assert AdaptiveRule(4.0).scored_pairs(layout) == 1


def test_most_caps_and_saturates():
    x = tokens(5, 0.01)
    assert AdaptiveRule(4.0, most=0.3).plan(x, LAYOUT).kept == pytest.approx(0.7, abs=0.01)
    largest = UniformRule(0.0).largest_m(LAYOUT)
    assert AdaptiveRule(4.0, most=0.99).plan(x, LAYOUT).kept == pytest.approx(1 - largest)
    assert AdaptiveRule(4.0, most=0.0).plan(x, LAYOUT) is None


@pytest.mark.parametrize("most", [None, 0.5])
def test_without_a_free_token_nothing_merges(most):
    x = tokens(5, 0.01)[:, : LAYOUT.tokens_per_frame]
    layout = TokenLayout(1, 6, 6)
    assert AdaptiveRule(4.0, most=most).plan(x, layout) is None
    assert AdaptiveRule(4.0, most=most).scored_pairs(layout) == 0


def test_protections_hold_and_a_batch_merges_what_all_its_items_permit():
    x = torch.cat([tokens(6, 0.05), tokens(7, 0.6)])
    rule = AdaptiveRule(0.05)
    counts = [rule.plan(item[None], LAYOUT).sources.shape[1] for item in x]
    plan = rule.plan(x, LAYOUT)
    assert plan.sources.shape == (2, min(counts)) and counts[0] != counts[1]
    touched = torch.cat([plan.sources, plan.destinations], 1)
    assert (touched >= LAYOUT.tokens_per_frame).all()
    assert (touched % LAYOUT.tokens_per_frame >= LAYOUT.special).all()


def test_wrong_arguments_are_named():
    for kwargs, word in (({"tolerance": -0.1}, "tolerance"), ({"tolerance": 5}, "tolerance")):
        with pytest.raises(ValueError, match=word):
            AdaptiveRule(**kwargs)
    with pytest.raises(ValueError, match="budget"):
        AdaptiveRule(0.1, budget="time")
    with pytest.raises(ValueError, match="m must lie"):
        AdaptiveRule(0.1, most=1.0)
    with pytest.raises(ValueError, match="expected features"):
        AdaptiveRule(0.1).plan(torch.zeros(1, 3, 8), LAYOUT)

"""Predictions: what is declared is what is measured, and each quantity says what its sentence says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_models import tiny_vggt

from book.study.predictions import blocks, duplicates, merging, profiles
from book.study.predictions import measure as experiment
from book.study.predictions.declared import PREDICTIONS
from lib.merging import FastVGGTRule, KeyValueGridRule, TokenLayout, UniformRule
from lib.run import Params, forward

LAYOUT = TokenLayout(4, 3, 3, 5)
PARAMS = Params(model="random", scene="denser:0-1", frames=8, m=0.3)


def events(model, images, rule=None):
    """Global events of a run."""
    kept = []

    class Keep:
        def observe(self, event):
            if event.kind == "global":
                kept.append(event)

    forward(model, images, rule, Keep(), heads=())
    return kept


@pytest.fixture(scope="module")
def scene():
    images = torch.rand(4, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    return tiny_vggt(), images


@pytest.fixture(scope="module")
def arrays():
    return experiment.measure(PARAMS)


@pytest.mark.slow
def test_every_declared_quantity_is_measured_under_its_name(arrays):
    assert [p.quantity for p in PREDICTIONS] == list(experiment.QUANTITIES)
    found = experiment.measurements(arrays, 0, draws=3)
    for prediction in PREDICTIONS:
        value, unit = found[prediction.quantity]
        reason = found[f"{prediction.quantity}.reason"][0]
        assert unit == "1" and (value is None) == bool(reason)
        assert prediction.judge(value) in ("as predicted", "refuted", "not decided")


@pytest.mark.slow
def test_what_must_hold_for_any_weights_holds_for_random_ones(arrays):
    found = experiment.measurements(arrays, 0, draws=1)
    assert found["copies_change"][0] < 1e-5
    assert found["saturated_difference"][0] == 0
    # a random network knows no frames: its first merged block sees what the rehearsal sees
    np.testing.assert_allclose(arrays["rank.static"][:, :, 0], arrays["rank.merged"][:, :, 0], rtol=1e-6)
    np.testing.assert_array_equal(arrays["sweep.common"][:, :, 0], arrays["few.common"][:, [0] * 9])


@pytest.mark.parametrize("rule", [FastVGGTRule(0.4), UniformRule(0.3), KeyValueGridRule(0.3, seed=1)])
def test_key_weights_are_those_of_the_mean_of_merged_keys(rule):
    x = torch.randn(1, LAYOUT.tokens, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    plan = rule.plan(x, LAYOUT)
    weights = blocks.key_weights(plan)
    assert float(weights.sum()) == pytest.approx(1)
    merged = plan.merge_keys(x[:, None])[0, 0].mean(0)
    torch.testing.assert_close(weights @ x[0], merged)


@pytest.mark.parametrize("rule", [FastVGGTRule(0.4), UniformRule(0.3), KeyValueGridRule(0.3, seed=1)])
def test_the_attention_branch_is_that_of_the_block(scene, rule):
    model, images = scene
    event = events(model, images)[0]
    block = model.aggregator.global_blocks[0]
    merged = events(model, images, rule)[0]  # its tokens are still those of the unmerged run
    with torch.inference_mode():
        plan = rule.plan(block.norm1(event.x), event.layout)
        for truth, used in ((event.update, None), (merged.update, plan)):
            torch.testing.assert_close(blocks.attention_branch(block, event, used), truth)
    assert not torch.allclose(merged.update, event.update)


def test_merging_errs_less_the_smaller_its_groups_and_not_at_all_for_copies(scene):
    model, images = scene
    event = events(model, images)[0]
    with torch.inference_mode():
        plan = UniformRule(0.3, size_bias=True).plan(event.x, event.layout)
        keys_only = replace(plan, queries=None, output_rows=None)
        for used, slope in ((keys_only, 2), (plan, 1)):
            small = [
                blocks.merge_error(
                    *(blocks.shrunk(t, plan, r) for t in (event.q, event.k, event.v)), used, event.scale
                )
                for r in (0.0, 0.05, 0.1)
            ]
            assert small[0] < 1e-5
            assert np.log2(small[2] / small[1]) == pytest.approx(slope, abs=0.3)


def test_half_of_the_fall_is_interpolated():
    assert merging.half_fall(np.array([0.9, 0.8, 0.4, 0.1]), 0.5) == pytest.approx(1.75)
    assert merging.half_fall(np.array([0.9, 0.8]), 0.5) == np.inf


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_a_profile_stretched_by_a_power_of_d_has_that_power(exponent):
    depth, kept = np.arange(30.0), np.linspace(0.9, 0.5, 9)

    def fall(stretch):
        return 1 - depth / stretch / 40  # linear, so that interpolation is exact

    stretched = np.array([fall((1 / k) ** exponent) for k in kept])
    made = {"few.common": 1 - fall(1.0)[None], "sweep.common": 1 - stretched[None], "kept": kept[None]}
    if exponent == 1.0:  # d = 2 reaches half of the fall at the very last block, and no later
        made["sweep.common"], made["kept"] = made["sweep.common"][:, :8], made["kept"][:, :8]
    assert merging.delay_exponent(made) == pytest.approx(exponent, abs=1e-6)
    made["sweep.common"] = made["sweep.common"] * 0
    with pytest.raises(profiles.Undefined, match="never reach"):
        merging.delay_exponent(made)
    assert merging.delay_exponent_at_least(made) > 0.5


def ranks(plain, static, merged):
    """Arrays of one scene whose effective ranks are given, kept = 1 − m."""

    def four(values):
        return np.asarray(values, float)[None, ..., None, None] * np.ones(4)

    kept = 1 - np.array(merging.STRENGTHS)[None]
    return {"rank.plain": four(plain), "rank.static": four(static), "rank.merged": four(merged), "kept": kept}


def test_an_interior_maximum_is_above_both_ends():
    peak = 10 - 20 * (np.array(merging.STRENGTHS) - 0.5) ** 2
    assert merging.rank_turns(ranks(6.0, peak, peak)) == pytest.approx((10 - peak[-1]) / 6)
    rising = np.arange(1.0, 10.0)
    assert merging.rank_turns(ranks(0.5, rising, rising)) < 0


def test_the_fitted_law_is_exact_on_an_exponential_and_the_static_part_where_nothing_moves():
    law = 5 * np.exp(np.array(merging.STRENGTHS))
    static, fitted = merging.held_out_errors(ranks(5.0, 1.1 * law, law))
    assert (static, fitted) == (pytest.approx(0.1), pytest.approx(0, abs=1e-12))
    flat = np.minimum(law, 8.0)
    static, fitted = merging.held_out_errors(ranks(5.0, flat, flat))
    assert static == 0 < fitted


def test_a_sign_counts_only_where_self_attention_is_weak_and_the_change_above_noise():
    length = np.ones((1, 2, 2, 3))
    change = np.array([-1.0, -1.1, -0.9]) * np.ones((1, 2, 2, 1))
    change[0, 0, 1] = [1.0, 1.0, 1.1]  # wrong sign
    change[0, 1, 0] = [-1.0, 2.0, -1.5]  # noise
    made = {"blocks.length": length, "blocks.change": change}
    weak = made | {"few.self_mass": np.full((1, 2, 3), 0.05)}
    assert len(blocks.sign_cases(weak)[0]) == 3
    assert blocks.sign_right(weak) == pytest.approx(2 / 3)
    strong = made | {"few.self_mass": np.array([[[0.05] * 3, [0.5] * 3]])}
    assert blocks.sign_right(strong) == 0.5
    with pytest.raises(profiles.Undefined):
        blocks.sign_right(made | {"few.self_mass": np.ones((1, 2, 3))})


def test_profiles_differ_only_where_self_attention_is_weak():
    common = np.array([[0.5, 0.5]])
    made = {"all.common": common, "few.common": np.array([[0.5, 0.9]])}
    made |= {"all.self_mass": np.zeros((1, 2, 1)), "few.self_mass": np.array([[[0.0], [0.2]]])}
    assert profiles.profile_shift(made) == 0
    made["few.self_mass"] = made["few.self_mass"] * 0
    assert profiles.profile_shift(made) == pytest.approx(np.log(5))


def test_strengths_beyond_reach():
    strengths, index = merging.reachable(lambda m, s, b: FastVGGTRule(m), LAYOUT)
    largest = FastVGGTRule(0.5).largest_m(LAYOUT)
    assert [strengths[i] <= largest for i in index] == [m <= largest for m in merging.STRENGTHS]
    assert strengths[-1] == 0.9 and index[-1] == len(strengths) - 1
    strengths, index = merging.reachable(lambda m, s, b: UniformRule(m), LAYOUT)
    assert strengths[-1] < 0.9 and index[-1] == -1


@pytest.mark.parametrize(
    ("change", "message"),
    [({"m": 0.0}, "above 0"), ({"frames": 4}, "at least 5"), ({"scene": "nowhere"}, "nowhere")],
)
def test_wrong_input_is_one_clear_error(change, message):
    for run in (experiment.measure, duplicates.measure):
        with pytest.raises(ValueError, match=message):
            run(replace(PARAMS, **change))


@pytest.mark.slow
def test_copies_change_only_what_special_tokens_tell_apart():
    found = duplicates.measure(replace(PARAMS, scene="denser:0"))
    copied, new = found["frame"][0, :, -1, 0, 0] / found["frame"][0, :, 0, 0, 0]
    assert abs(np.log(copied)) < abs(np.log(new))
    assert found["module"].max() < 1e-5
    assert found["turned"][0, 0, 0] == 0
    np.testing.assert_allclose(found["kept"][0, :, :, 0], 1)
    assert set(duplicates.measurements(found)) >= {"rank_ratio", "turned", "module_change"}

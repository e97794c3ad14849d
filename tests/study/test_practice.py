"""The forecast from an unmerged pass, the advice drawn from it, and comparisons at equal pairs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from book.study.practice import adaptive, advice
from book.study.practice.equal_pairs import Table, advised, contest, follow, gain_over
from book.study.static_merging import Observers
from lib.costs.operations import forward_operations
from lib.merging import RULES, AdaptiveRule, FastVGGTRule, KeyValueGridRule, Setting, TokenLayout, UniformRule
from lib.run import Params, load_model, prepare, run


@pytest.fixture(scope="module")
def setup():
    params = Params(model="random", scene="longer:0", frames=4, m=0.0)
    return prepare(params, load_model(params)[0])


class Updates:
    def __init__(self):
        self.seen = []

    def observe(self, event):
        if event.kind == "global":
            self.seen.append(event.update.clone())


def forecast_of(setup, *rules):
    forecast = advice.Forecast(setup.model, rules)
    run(setup, forecast)
    return forecast.arrays()


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule", [FastVGGTRule(0.4), UniformRule(0.5, size_bias=True), KeyValueGridRule(0.5), AdaptiveRule(0.02)]
)
def test_the_first_block_is_forecast_exactly(setup, rule):
    plain, merged = Updates(), Updates()
    run(setup, plain)
    run(replace(setup, rule=rule), merged)
    truth = (merged.seen[0] - plain.seen[0]).norm() / plain.seen[0].norm()
    found = forecast_of(setup, rule)
    assert found["branch_error"][0, 0] == pytest.approx(float(truth), rel=1e-4)
    assert found["branch_error"][0, 0] > 0


def test_no_merge_changes_nothing_and_size_bias_leaves_the_mean_alone(setup):
    found = forecast_of(
        setup, AdaptiveRule(0.0, most=0.0), UniformRule(0.5, size_bias=True), UniformRule(0.5)
    )
    assert found["deviation"][0] == 0 and (found["kept"][0] == 1).all()
    assert np.abs(found["driving"][1]).max() < 1e-6 < np.abs(found["driving"][2]).max()


def test_a_forecast_refuses_a_merged_run(setup):
    forecast = advice.Forecast(setup.model, [FastVGGTRule(0.4)])
    with pytest.raises(ValueError, match="unmerged"):
        run(replace(setup, rule=FastVGGTRule(0.4)), Observers([forecast]))


def test_operations_count_by_hand(setup):
    config, layout = setup.model.config, setup.layout
    n, c, depth = layout.tokens, config.width, config.depth
    counted = forward_operations(config, layout, 0.5)
    whole, attention = counted.alternating, counted.global_attention
    assert attention == depth * 0.5 * 4 * n * n * c
    linear = depth * 2 * n * (3 + 1 + 2 * config.mlp_ratio) * c * c * 2
    assert whole == pytest.approx(linear + depth * 4 * n * layout.tokens_per_frame * c + attention)


def test_advice_takes_the_largest_saving_that_is_allowed_or_none():
    deviation, saved = np.array([0.01, 0.05, 0.2, 0.04]), np.array([0.1, 0.3, 0.5, 0.3])
    assert advice.recommend(deviation, saved, 0.1, 0.05).chosen == 3  # of equal savings the smaller error
    assert advice.recommend(deviation, saved, 0.3, 0.05).chosen == 2
    nothing = advice.recommend(deviation, saved, 0.001, 0.05)
    assert nothing.chosen is None and "forecast" in nothing.because
    assert "too small a part" in advice.recommend(deviation, saved, 0.1, 0.9).because
    with pytest.raises(ValueError, match="tolerance"):
        advice.recommend(deviation, saved, 2.0, 0.1)


@pytest.mark.slow
def test_every_considered_setting_can_be_planned(setup):
    settings = advice.considered(setup.layout, 33)
    assert {s.rule for s in settings} == set(RULES)
    free = {s.rule for s in settings if not s.protected}
    assert free == {name for name in RULES if not RULES[name].adaptive}
    assert settings[Setting("uniform", 0.7, protected=False)] == UniformRule(0.7, seed=33).unprotected()
    found = forecast_of(setup, *settings.values())
    assert np.isfinite(found["deviation"]).all()


def test_fixed_contenders_have_equal_pairs():
    layout = TokenLayout(8, 6, 6)
    x = torch.randn(1, layout.tokens, 16, generator=torch.Generator().manual_seed(0))
    for point in adaptive.POINTS:
        rules = [c.merging for c in adaptive.fixed_contenders(layout, False, 33) if c.point == point]
        pairs = [rule.plan(x, layout).pairs / layout.tokens**2 for rule in rules]
        assert max(pairs) - min(pairs) < 0.005


@pytest.mark.slow
def test_calibration_meets_its_target(setup):
    target = 0.6
    found = adaptive.calibrate([setup], AdaptiveRule(0.0), target, steps=8)
    need = adaptive._pairs(setup, AdaptiveRule(found))
    assert need <= target < adaptive._pairs(setup, AdaptiveRule(found / 1.1))


@pytest.mark.slow
def test_following_no_merge_moves_nothing(setup):
    assert follow(setup, AdaptiveRule(0.0, most=0.0))[0] == 0
    deviation, errors = follow(setup, UniformRule(0.5))
    assert deviation > 0 and set(errors) == set(adaptive.ERRORS)


def comparison(shift: float, scenes: int = 3) -> Table:
    """Scenes in which a fixed rule errs by 1 - pairs, a rival by twice that, and an adaptive one by `shift`
    more than the better of the two. In the third, the adaptive one has fewer pairs than any fixed point."""
    pairs = np.array([[1.0, 0.5, 0.2, 0.5, 0.2, own] for own in (0.4, 0.3, 0.1)])[np.arange(scenes) % 3]
    values = 1 - pairs
    values[:, 3:5] *= 2
    values[:, 5] = 1 - np.maximum(pairs[:, 5], 0.2) + shift
    names = ["unmerged", "fixed", "fixed", "rival", "rival", "adaptive, pair"]
    return Table(names, [0, 0.3, 0.9, 0.3, 0.9, 0.9], pairs, values)


@pytest.mark.parametrize(("shift", "result"), [(-0.1, "wins"), (0.1, "loses"), (0.0, "open")])
def test_contest_is_held_at_the_pairs_of_each_scene_against_the_best_rival(shift, result):
    table = comparison(shift)
    found = contest(table, "adaptive, pair", 0.9, 0)
    assert (found.rival, found.result) == ("fixed", result)
    assert found.difference.median == pytest.approx(shift, abs=1e-12)
    assert found.relative == pytest.approx(shift / 0.7, abs=1e-12)
    assert (found.pairs, found.wanted) == (pytest.approx(0.8 / 3), pytest.approx(0.2))
    names = ["unmerged", "rival", "rival", "fixed", "fixed", "adaptive, pair"]  # in another order
    values, pairs = (a[:, [0, 3, 4, 1, 2, 5]] for a in (table.values, table.pairs))
    assert contest(replace(table, names=names, values=values, pairs=pairs), "adaptive, pair", 0.9, 0) == found


def test_a_contest_that_some_scenes_win_and_some_lose_is_open():
    table = comparison(0.1, scenes=12)
    table.values[::2, 5] -= 0.2
    assert contest(table, "adaptive, pair", 0.9, 0).result == "open"


def test_gain_is_in_per_cent_of_the_other():
    t = comparison(0.1)
    t = Table(
        ["unmerged", "FastVGGT", "uniform"], [0, 0.9, 0.9], t.pairs[:, [0, 2, 4]], t.values[:, [0, 2, 4]]
    )
    assert gain_over(t, "uniform", "FastVGGT", 0.9, 0).median == pytest.approx(100)
    assert gain_over(t, "FastVGGT", "uniform", 0.9, 0).median == pytest.approx(-50)
    with pytest.raises(ValueError, match="no rule"):
        t.column("grid", 0.9)


def test_advised_falls_back_on_the_unmerged_run():
    forecast, measured = np.array([[0, 0.05, 0.3], [0, 0.5, 0.6]]), np.array([[0, 0.1, 0.4], [0, 0.6, 0.7]])
    found = advised(forecast, measured, np.array([[0, 0.2, 0.4]] * 2), 0.1, 0.1)
    assert found.chosen.tolist() == [1, 0] and found.measured.tolist() == [0.1, 0.0]

"""Spectra against m: the runs, and what is made of their records."""

import numpy as np
import pytest

from book.study.fusion import laws as sweep
from book.study.fusion import measure as spectrum
from lib.run import Params, load_model


def params(m: float, rule: str = "uniform", scene: str = "denser:0-1") -> Params:
    return Params(model="random", scene=scene, frames=3, m=m, rule=rule, seed=1)


@pytest.fixture(scope="module")
def model():
    return load_model(params(0.0))[0]


@pytest.fixture(scope="module")
def found(model):
    return {m: spectrum.measure(params(m), False, model) for m in (0.0, 0.4)}


@pytest.mark.slow
def test_the_first_block_is_static_and_the_last_is_not(found):
    for matrix in ("token", "lifted", "pooled"):
        static, moved = (
            spectrum.effective_rank(found[0.4].arrays, matrix, p) for p in ("static", "propagated")
        )
        np.testing.assert_allclose(static[:, 0], moved[:, 0], rtol=1e-6)
        assert np.abs(static[:, -1] / moved[:, -1] - 1).max() > 1e-6


@pytest.mark.slow
def test_sizes_are_those_of_the_three_matrices(found):
    arrays, tokens = found[0.4].arrays, 3 * (25 + 5)
    assert found[0.4].kept == pytest.approx(0.6, abs=0.5 / tokens)
    assert set(arrays["propagated.token.size"].ravel()) == {round(0.6 * tokens)}
    assert set(arrays["propagated.lifted.size"].ravel()) == {tokens}
    assert set(arrays["propagated.pooled.size"].ravel()) == {3}
    assert (spectrum.effective_rank(arrays, "lifted") <= 0.6 * tokens * (1 + 1e-9)).all()


@pytest.mark.slow
def test_without_merging_both_parts_and_both_token_matrices_are_one(found):
    arrays = found[0.0].arrays
    assert found[0.0].kept.min() == 1
    for name in ("token.entropy", "pooled.stable_rank", "features.resultant"):
        np.testing.assert_array_equal(arrays[f"static.{name}"], arrays[f"propagated.{name}"])
    np.testing.assert_array_equal(arrays["propagated.token.entropy"], arrays["propagated.lifted.entropy"])


@pytest.mark.slow
def test_the_summary_is_finite_and_has_units(found):
    for value, unit in spectrum.summary(found[0.4]).values():
        assert value is not None and np.isfinite(value) and unit == "1"


def test_a_rule_out_of_reach_says_what_it_reaches(model):
    with pytest.raises(ValueError, match="largest m"):
        spectrum.measure(params(0.9, scene="denser:0"), True, model)


def test_split_adds_up_and_knows_a_static_change(found):
    plain, merged = found[0.0].arrays, found[0.4].arrays
    parts = sweep.split(merged, plain, "token")
    whole = np.log(sweep.scene_ranks(merged, "token") / sweep.scene_ranks(plain, "token"))
    np.testing.assert_allclose(parts.whole, whole, atol=1e-12)
    still = {name.replace("propagated", "static"): a for name, a in merged.items() if "propagated" in name}
    still |= {name.replace("static", "propagated"): a for name, a in still.items()}
    np.testing.assert_allclose(sweep.split(still, plain, "token").static_share, 1.0)


def test_law_is_exact_where_it_holds_and_is_judged_where_it_was_not_fitted():
    m = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    exact = np.exp(1.0 + np.outer(m, [0.5, -2.0]))
    np.testing.assert_allclose(sweep.exponential_law(m, exact, 0.5), exact)
    bent = exact.copy()
    bent[3:] *= 2  # only beyond the fitted m: the law must not know
    errors = sweep.relative_errors(sweep.exponential_law(m, bent, 0.5)[3:], bent[3:])
    np.testing.assert_allclose(errors, 0.5)
    with pytest.raises(ValueError, match="three m"):
        sweep.exponential_law(m, exact, 0.3)


def test_turning_points_and_slopes():
    curves = np.array([[1.0, 3.0, 1.0], [2.0, 2.0, 2.0], [1.5, 1.0, 3.0]])
    assert sweep.interior_maximum(curves).tolist() == [True, False, False]
    depth = np.arange(1, 7)
    assert sweep.log_slope(3.0 / depth) == pytest.approx(-1)
    assert sweep.log_slope(depth**0.5, first=2) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="three layers"):
        sweep.log_slope(depth, first=4)


def test_eq_1_halves_the_rank_above_one_where_it_should():
    profile = sweep.rank_bound_profile(9.0, np.log(2), 2, 5)
    np.testing.assert_allclose(profile[[0, 2, 4]], [9, 5, 3])


def test_a_fixed_normaliser_is_a_fixed_normaliser(found):
    merged = found[0.4].arrays
    own, fixed = sweep.scene_entropies(merged, "token"), sweep.scene_entropies(merged, "token", size=90)
    np.testing.assert_allclose(fixed / own, np.log(54) / np.log(90))

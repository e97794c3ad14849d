"""Closed laws against simulation, against each other, and in their limits."""

import math

import numpy as np
import pytest
import torch

from book.study import collapse_laws as laws
from book.study import mean_flow as mf
from book.study import merging_laws, particle_merging
from book.study.corrected_theory import hierarchy
from book.study.effective_rank import near_collapse
from book.study.entropy import pre_ln
from lib import dynamics as dyn
from lib.spectra import dense_measures

# Collapse without merging ----------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize(("tokens", "beta", "step", "cosine"), [(20, 0.0, 0.1, 0.0), (30, 6.0, 0.5, 0.2)])
def test_odds_law_is_exact_for_equiangular_tokens(norm, tokens, beta, step, cosine):
    run = dyn.simulate(dyn.equiangular_cloud(tokens, cosine), dyn.Layer(beta, step, norm), 40)
    law = laws.odds_law(tokens, beta, step, 40, cosine, norm)
    np.testing.assert_allclose(run.odds.numpy(), law, rtol=1e-10)


def test_self_share_is_the_excess_weight_of_a_token_on_itself():
    a = dyn.attention_matrix(dyn.equiangular_cloud(12, 0.3), 4.0)
    assert laws.self_share(12, 4.0, 0.3) == pytest.approx(float(a[0, 0] - a[0, 1]))
    assert laws.self_share(12, 0.0, 0.3) == 0.0


@pytest.mark.parametrize(("beta", "tokens"), [(0.0, 50), (4.0, 50), (8.0, 20)])
def test_collapse_layers_follow_the_odds_law(beta, tokens):
    odds = laws.odds_law(tokens, beta, 0.1, 2000, 0.2)
    first = int(np.argmax(1 / (1 + odds) < 0.05))
    assert first - 1 < laws.collapse_layers(tokens, beta, 0.1, 0.2) <= first


def test_collapse_layers_may_never_come():
    assert laws.collapse_layers(8, 12.0, 0.1, 0.2, limit=50) == math.inf


def test_dilution_collapse_time_falls_with_n_below_the_threshold_and_is_flat_above():
    star = laws.dilution_threshold(12.0, 0.2)
    below = laws.collapse_layers(star / 200, 12.0, 0.1, 0.2) / laws.collapse_layers(
        star / 100, 12.0, 0.1, 0.2
    )
    above = laws.collapse_layers(100 * star, 12.0, 0.1, 0.2) / laws.collapse_layers(
        200 * star, 12.0, 0.1, 0.2
    )
    assert below == pytest.approx(2, rel=0.1)
    assert above == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize("beta", [0.0, 4.0])
def test_terminal_rate(beta):
    run = dyn.simulate(dyn.biased_cloud(60, 8, 0.7, 0), dyn.Layer(beta, 0.1), 90)
    late = torch.log(run.spread[70] / run.spread[90]) / 20
    assert late == pytest.approx(laws.terminal_rate(0.1), rel=0.01)


@pytest.mark.slow
def test_uniform_clouds_need_a_layer_more_per_log_token():
    layers = [
        np.mean(
            [
                dyn.simulate(dyn.uniform_cloud(n, 16, seed), dyn.Layer(0.0, 0.1), 200, stop=0.05).layers_to()
                for seed in range(20)
            ]
        )
        for n in (64, 1024)
    ]
    slope = (layers[1] - layers[0]) / math.log(16)
    assert slope == pytest.approx(mf.layers_per_log_token(0.1, 16), rel=0.15)


@pytest.mark.slow
def test_a_biased_cloud_collapses_at_a_speed_free_of_n():
    layers = [
        dyn.simulate(dyn.biased_cloud(n, 32, 0.33, 0), dyn.Layer(1.0, 0.1), 60, stop=0.05).layers_to()
        for n in (256, 2048)
    ]
    assert layers[1] / layers[0] == pytest.approx(1, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("width", [2, 3, 4, 8])
def test_mobius_solution_against_particles(width):
    flow = mf.mean_flow(mf.poisson_cloud(20_000, width, 0.2, 0), 5.0, step=0.1)
    law = mf.mobius_solution(flow.times.numpy(), 0.2, width)
    np.testing.assert_allclose(flow.R.numpy(), law, atol=0.015)


def test_mobius_mean_in_closed_dimensions_and_in_the_limit():
    r = np.array([0.1, 0.5, 0.9])
    np.testing.assert_allclose(mf.mobius_mean(r, 2), r)
    three = (1 + r**2) / (2 * r) - (1 - r**2) ** 2 / (4 * r**2) * np.log((1 + r) / (1 - r))
    np.testing.assert_allclose(mf.mobius_mean(r, 3), three)
    np.testing.assert_allclose(mf.mobius_mean(r, 4), r * (3 - r**2) / 2)
    np.testing.assert_allclose(mf.mobius_mean(r, 1e6), 2 * r / (1 + r**2), rtol=1e-4)


def test_logistic_spread_is_the_mobius_law_at_two_and_the_odds_law_of_small_steps():
    t = np.linspace(0, 4, 9)
    np.testing.assert_allclose(
        mf.logistic_spread(t, 0.3, rate=1.0), 1 - mf.mobius_solution(t, 0.3, 2) ** 2, atol=1e-8
    )
    odds = laws.odds_law(20, 0.0, 1e-3, 1000, 0.1)[-1]
    r_start = math.sqrt((1 + 19 * 0.1) / 20)
    assert 1 / (1 + odds) == pytest.approx(float(mf.logistic_spread(1.0, r_start)), rel=2e-3)


def test_printed_sign_spreads_and_attention_concentrates():
    x = dyn.biased_cloud(500, 8, 0.4, 0)
    assert mf.mean_flow(x, 20.0, sign=-1, step=0.1).R[-1] < 1e-3
    assert mf.mean_flow(x, 20.0, sign=1, step=0.1).R[-1] > 0.99
    assert (mf.mean_flow(x, 1.0, speed=2.0).R[-1] - mf.mean_flow(x, 2.0).R[-1]).abs() < 1e-6


@pytest.mark.slow
def test_mean_flow_is_the_limit_of_small_steps_of_attention():
    x = dyn.biased_cloud(100, 6, 0.4, 0)
    run = dyn.simulate(x, dyn.Layer(0.0, 1e-3), 1000)
    assert run.R[-1] == pytest.approx(float(mf.mean_flow(x, 1.0).R[-1]), abs=2e-4)


@pytest.mark.slow
def test_first_order_velocity_has_a_second_order_error():
    x = dyn.biased_cloud(200, 6, 0.4, 0)
    error = [(mf.softmax_velocity(x, b) - mf.first_order_velocity(x, b)).norm().item() for b in (0.02, 0.01)]
    assert math.log2(error[0] / error[1]) == pytest.approx(2, abs=0.05)
    torch.testing.assert_close(mf.softmax_velocity(x, 0.0), mf.mean_field_velocity(x))


def test_without_residual_the_log_of_the_variance_triples():
    x = dyn.biased_cloud(40, 1 + 1, 2.0, 0)  # on the circle: one direction of variance
    run = dyn.simulate(x, dyn.Layer(1.0, 1.0, residual=False), 3)
    logs = run.spread.log().numpy()
    assert logs[3] / logs[2] == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize("layer", [50, 300, 1000])
def test_pre_ln_with_identity_values(layer):
    odds = laws.odds_law(128, 0.0, 0.02, layer, norm="pre")[-1]
    assert pre_ln.pre_ln_spread(layer, 0.02, 1 / 128) == pytest.approx(1 / (1 + odds), rel=0.02)


def test_pre_ln_rates():
    far = [pre_ln.pre_ln_spread(layer, 0.3, 0.01) for layer in (10_000, 20_000)]
    assert math.log2(far[0] / far[1]) == pytest.approx(2, abs=0.01)
    far = [pre_ln.pre_ln_random_spread(layer, 0.3, 0.01) for layer in (10_000, 20_000)]
    assert math.log2(far[0] / far[1]) == pytest.approx(1, abs=0.02)


@pytest.mark.slow
def test_pre_ln_with_random_values():
    x = torch.eye(256, dtype=torch.float64)[:128]
    runs = [
        dyn.simulate(x, dyn.Layer(0.5, 0.3, "pre", values="random", seed=1000 * s), 300) for s in range(3)
    ]
    mean = np.mean([float(r.spread[-1]) for r in runs])
    assert mean == pytest.approx(pre_ln.pre_ln_random_spread(300, 0.3, 1 / 128), rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("common", [0.3, 0.6])
def test_pre_ln_with_random_values_that_start_from_a_common_part(common):
    """What each token has of its own weighs less against the growing stream: h^2 / (1 - R0^2)."""
    own = torch.eye(65, dtype=torch.float64)
    x = math.sqrt(common) * own[-1] + math.sqrt(1 - common) * own[:-1]
    start = common + (1 - common) / 64
    layer = [dyn.Layer(0.0, 0.3, "pre", values="random", seed=1000 * s) for s in range(12)]
    mean = np.mean([float(dyn.simulate(x, one, 40).spread[-1]) for one in layer])
    assert mean == pytest.approx(pre_ln.pre_ln_random_spread(40, 0.3, start), rel=0.1)


def test_near_collapse_rank_is_exact_for_its_spectrum_and_right_near_collapse():
    q = np.array([0.5, 0.3, 0.2])
    p = np.append(1.0, 0.1 * q) / 1.1
    want = math.exp(-(p * np.log(p)).sum())
    assert near_collapse.near_collapse_rank(0.1, math.exp(-(q * np.log(q)).sum())) == pytest.approx(want)
    run = dyn.simulate(dyn.biased_cloud(200, 8, 0.7, 0), dyn.Layer(1.0, 0.1), 40)
    trace, rank = near_collapse.covariance_rank(run.tokens)
    assert trace == pytest.approx(float(run.spread[-1]))
    measured = dense_measures(dyn.attention_matrix(run.tokens, 1.0)).effective_rank
    assert measured - 1 == pytest.approx(float(near_collapse.near_collapse_rank(trace, rank)) - 1, rel=0.01)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_frame_and_global_layers_follow_the_hierarchy(norm):
    x = hierarchy.hierarchical_cloud(3, 4, 0.3, 0.6, math.sqrt(0.55))
    run = hierarchy.alternate(x, 3, dyn.Layer(0.0, 0.2, norm), 12)
    np.testing.assert_allclose(
        run, hierarchy.hierarchy_law(0.3, 0.6, math.sqrt(0.55), 0.2, 12, norm), rtol=1e-9, atol=1e-12
    )


# Merging ---------------------------------------------------------------------------------------------------


def near_duplicates(radius, seed=0):
    """Queries, keys and values in 8 groups of sizes 1 to 8 and the given radius."""
    labels = torch.repeat_interleave(torch.arange(8), torch.arange(1, 9))
    centres, values = dyn.uniform_cloud(8, 6, seed), dyn.gaussian(8, 6, seed + 1)
    noise = [radius * dyn.gaussian(36, 6, seed + k) for k in (2, 3)]
    return dyn.uniform_cloud(20, 6, seed + 4), centres[labels] + noise[0], values[labels] + noise[1], labels


def merge_errors(radius):
    q, k, v, labels = near_duplicates(radius)
    full = dyn.attend(q, k, v, 3.0)
    with_sizes, without = dyn.groups_of(labels, True), dyn.groups_of(labels, False)
    return [
        float((y - full).norm())
        for y in (
            merging_laws.merged_attention(q, k, v, with_sizes, 3.0),
            merging_laws.corrected_attention(q, k, v, with_sizes, 3.0),
            merging_laws.merged_attention(q, k, v, without, 3.0),
        )
    ]


def test_size_biased_merging_is_second_order_and_its_correction_third():
    (a, b, c), (a2, b2, c2) = merge_errors(0.02), merge_errors(0.01)
    assert math.log2(a / a2) == pytest.approx(2, abs=0.15)
    assert math.log2(b / b2) == pytest.approx(3, abs=0.25)
    assert c / c2 == pytest.approx(1, abs=0.1)
    assert max(merge_errors(0.0)[:2]) < 1e-12


@pytest.mark.slow
def test_delay_of_unweighted_merging_is_the_renyi_entropy():
    p = np.array([39.0 * 10] * 10 + [1.0] * 390)
    x, mass = torch.eye(400, dtype=torch.float64), torch.from_numpy(p)
    layer = dyn.Layer(0.0, 0.05)
    full = dyn.simulate(x, layer, 300, driving=mass, stop=0.05).layers_to()
    merged = dyn.simulate(x, layer, 300, driving=torch.ones_like(mass), mass=mass, stop=0.05).layers_to()
    assert merged - full == pytest.approx(merging_laws.renyi_delay(p, 0.05), rel=0.1)
    assert merging_laws.renyi_delay(np.ones(7)) == pytest.approx(0, abs=1e-12)


def test_unique_share_rises_to_the_turning_point_and_returns_at_saturation():
    q, f, π = 0.3, 0.25, 0.1
    turning, end = merging_laws.turning_strength(q, f, π), merging_laws.saturation_strength(f, π)
    assert (turning, end) == pytest.approx((0.75 * 0.9 * 0.7, 0.75 * 0.9))
    m = np.array([0.0, turning / 2, turning, end, 0.99])
    share = merging_laws.unique_share(m, q, f, π)
    assert share[0] == pytest.approx(q)
    assert share[0] < share[1] < share[2] > share[3]
    assert share[3] == share[4]
    assert merging_laws.unique_share(1 - f, q, f) == pytest.approx(q)


def test_unique_share_against_bipartite_matching():
    x, alone = particle_merging.mixture_cloud(1200, 64, 0.3, 0.3, 0)
    for m in (0.3, 0.525, 0.7):
        groups = particle_merging.BipartiteMerge(m, 0.25, 0)(x, 0)
        survivors = torch.ones(len(groups.sizes)).scatter_reduce(0, groups.labels, alone.float(), "amin")
        assert survivors.mean() == pytest.approx(float(merging_laws.unique_share(m, 0.3, 0.25)), abs=0.02)


def test_unweighted_merging_slows_most_at_the_turning_point_and_size_bias_makes_it_flat():
    def layers(m, size_bias):
        x, _ = particle_merging.mixture_cloud(600, 64, 0.3, 0.3, 1)
        merge = particle_merging.BipartiteMerge(m, 0.25, 0, size_bias) if m else None
        return dyn.simulate(x, dyn.Layer(1.0, 0.1), 60, merge=merge, stop=0.05).layers_to()

    plain, turning, saturated = (
        layers(m, False) for m in (0.0, merging_laws.turning_strength(0.3, 0.25), 0.75)
    )
    assert plain < saturated < turning
    assert layers(0.5, True) == pytest.approx(plain, rel=0.01)


def test_block_spectrum_against_singular_values():
    clusters, copies, unique, logit, cross = 4, 6, 10, 4.0, 0.1
    label = torch.cat([torch.arange(clusters).repeat_interleave(copies), clusters + torch.arange(unique)])
    same = (label[:, None] == label).double()
    logits = logit * (same + cross * (1 - same))
    direct = torch.linalg.svdvals(torch.softmax(logits, -1)).numpy()
    law = np.sort(merging_laws.block_spectrum(clusters, copies, unique, logit, cross))[::-1]
    np.testing.assert_allclose(direct[: len(law)], law, rtol=1e-9)
    assert np.all(direct[len(law) :] < 1e-12)

"""Particle simulation: symmetries, limits, exact merging of duplicates, and the laws it must obey."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from book.study import mean_flow as mf
from book.study import particle_merging
from book.study.corrected_theory import hierarchy
from lib import dynamics as dyn

EVERY_LAYER = [
    dyn.Layer(0.0, 0.2),
    dyn.Layer(3.0, 0.2),
    dyn.Layer(3.0, 0.2, "pre"),
    dyn.Layer(1.0, 1.0, "none", residual=False),
]


def rotation(width, seed):
    return torch.linalg.qr(dyn.gaussian(width, width, seed))[0]


# Attention -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.0, 0.7, 8.0, 900.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_attention_is_softmax_of_weighted_logits(beta, weighted):
    q, k, v = dyn.gaussian(7, 5, 0), dyn.gaussian(9, 5, 1), dyn.gaussian(9, 3, 2)
    w = torch.arange(1.0, 10.0, dtype=torch.float64) if weighted else None
    logits = beta * q @ k.T + (w.log() if weighted else 0)
    want = torch.softmax(logits, -1) @ v
    torch.testing.assert_close(dyn.attend(q, k, v, beta, w, chunk=16), want)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.1, 4000.0), st.sampled_from([torch.float32, torch.float64]), st.floats(0.1, 30.0))
def test_no_temperature_overflows(beta, dtype, length):
    """Up to and far beyond the largest exponent of the dtype."""
    q, k = (dyn.uniform_cloud(6, 4, seed).to(dtype) for seed in (0, 1))
    q, k = length * q, k / length
    k[0] = -k[1]  # logits of both signs
    want = torch.softmax(beta * q.double() @ k.double().T, -1)
    got = dyn.attend(q, k, torch.eye(6, dtype=dtype), beta)
    torch.testing.assert_close(
        got.double(), want, atol=1e-6 * beta if dtype == torch.float32 else 1e-9, rtol=0
    )


def test_attention_does_not_depend_on_the_chunk():
    x = dyn.uniform_cloud(200, 6, 0)
    torch.testing.assert_close(dyn.attend(x, x, x, 2.0, chunk=1), dyn.attend(x, x, x, 2.0, chunk=1 << 20))


def test_attention_never_holds_all_logits():
    largest = 0

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.numel())
            return out

    x = dyn.uniform_cloud(2000, 4, 0)
    with Watch():
        dyn.attend(x, x, x, 1.0, chunk=1)
    assert largest == 8 * 2000, "eight rows at least"
    with Watch():
        dyn.simulate(x, dyn.Layer(1.0, 0.1), 1)
    assert 1 << 16 < largest <= 1 << 17


def test_neither_many_equal_channels_nor_large_values_nor_small_weights_overflow():
    ones = torch.ones(1, 16, dtype=torch.float64)
    assert dyn.attend(ones, ones, ones, 60.0).tolist() == ones.tolist(), "a logit of 960"
    one = torch.ones(1, 1)
    assert dyn.attend(one, one, 1e13 * one, 60.0).tolist() == [[torch.tensor(1e13).item()]]
    x, w = dyn.uniform_cloud(9, 3, 0), torch.arange(1.0, 10.0, dtype=torch.float64)
    torch.testing.assert_close(dyn.attend(x, x, x, 2.0, 1e-200 * w), dyn.attend(x, x, x, 2.0, w))


def test_rows_of_an_attention_matrix_sum_to_one():
    a = dyn.attention_matrix(dyn.biased_cloud(12, 4, 0.5, 0), 3.0)
    torch.testing.assert_close(a.sum(-1), torch.ones(12, dtype=torch.float64))
    assert (a.sum(0) - 1).abs().max() > 0.05


# Symmetries ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", EVERY_LAYER)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_permuting_or_rotating_tokens_permutes_or_rotates_the_result(layer, seed):
    x = dyn.biased_cloud(30, 6, 0.5, seed)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(seed))
    turn = rotation(6, seed)
    end = dyn.simulate(x, layer, 3).tokens
    torch.testing.assert_close(dyn.simulate(x[order], layer, 3).tokens, end[order])
    torch.testing.assert_close(dyn.simulate(x @ turn, layer, 3).tokens, end @ turn)


def test_tokens_stay_on_the_sphere_post_ln_and_grow_pre_ln():
    x = dyn.biased_cloud(40, 8, 0.5, 0)
    post = dyn.simulate(x, dyn.Layer(2.0, 0.3), 10).tokens.norm(dim=-1)
    pre = dyn.simulate(x, dyn.Layer(2.0, 0.3, "pre"), 10).tokens.norm(dim=-1)
    torch.testing.assert_close(post, torch.ones_like(post))
    assert (pre > 1.0).all()


def test_consensus_and_antipodes_are_fixed_points():
    e = torch.eye(5, dtype=torch.float64)[:1]
    for x in (e.repeat(6, 1), torch.cat([e.repeat(5, 1), -e])):
        torch.testing.assert_close(dyn.simulate(x, dyn.Layer(0.0, 0.1), 20).tokens, x)


def test_dimension_of_the_span_is_conserved_with_identity_values():
    x = torch.cat([dyn.biased_cloud(20, 3, 0.4, 1), torch.zeros(20, 4, dtype=torch.float64)], -1)
    assert dyn.simulate(x, dyn.Layer(2.0, 0.3), 10).tokens[:, 3:].abs().max() == 0


def test_beta_to_zero_is_continuous():
    x = dyn.biased_cloud(30, 6, 0.5, 0)
    near, at = (dyn.simulate(x, dyn.Layer(b, 0.2), 20).tokens for b in (1e-9, 0.0))
    torch.testing.assert_close(near, at, atol=1e-7, rtol=0)


def test_random_values_are_new_in_every_layer_and_reproducible():
    x = dyn.biased_cloud(20, 6, 0.5, 0)
    first = dyn.simulate(x, dyn.Layer(1.0, 0.3, "pre", values="random", seed=4), 3).tokens
    again = dyn.simulate(x, dyn.Layer(1.0, 0.3, "pre", values="random", seed=4), 3).tokens
    other = dyn.simulate(x, dyn.Layer(1.0, 0.3, "pre", values="random", seed=5), 3).tokens
    fixed = dyn.gaussian(6, 6, 4) / math.sqrt(6)
    repeated = dyn.simulate(x, dyn.Layer(1.0, 0.3, "pre", values=fixed), 3).tokens
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert not torch.allclose(first, repeated)


def test_random_values_of_a_layer_are_drawn_with_its_number_added_to_the_seed():
    x = end = dyn.biased_cloud(20, 6, 0.5, 0)
    for number in range(3):
        drawn = dyn.gaussian(6, 6, number) / math.sqrt(6)
        end = dyn.advance(end, dyn.Layer(1.0, 0.3, "pre", values=drawn), 0)
    torch.testing.assert_close(dyn.simulate(x, dyn.Layer(1.0, 0.3, "pre", values="random"), 3).tokens, end)


def test_only_a_layer_without_normalisation_sees_how_long_tokens_are():
    x = dyn.biased_cloud(10, 4, 0.5, 0)
    for norm in ("post", "pre"):
        layer = dyn.Layer(3.0, 0.2, norm)
        torch.testing.assert_close(dyn.simulate(2 * x, layer, 2).tokens, dyn.simulate(x, layer, 2).tokens)
    raw = dyn.Layer(0.7, 0.2, "none")
    expected = 2 * x + 0.2 * torch.softmax(0.7 * 4 * x @ x.T, -1) @ (2 * x)
    torch.testing.assert_close(dyn.simulate(2 * x, raw, 1).tokens, expected)


# Merging ---------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), beta=st.sampled_from([0.0, 1.0, 8.0]))
def test_size_biased_merging_of_duplicates_changes_nothing(seed, beta):
    x = dyn.biased_cloud(12, 5, 0.5, seed)
    copies = torch.randint(1, 5, (12,), generator=torch.Generator().manual_seed(seed))
    layer = dyn.Layer(beta, 0.2)
    full = dyn.simulate(x.repeat_interleave(copies, 0), layer, 8)
    merged = dyn.simulate(x, layer, 8, driving=copies.double())  # of any sum
    torch.testing.assert_close(merged.tokens.repeat_interleave(copies, 0), full.tokens)
    torch.testing.assert_close(merged.spread, full.spread)


def test_merging_duplicates_without_size_bias_does_change_it():
    x = dyn.biased_cloud(12, 5, 0.5, 0)
    copies = torch.arange(1, 13)
    full = dyn.simulate(x.repeat_interleave(copies, 0), dyn.Layer(1.0, 0.2), 8)
    merged = dyn.simulate(x, dyn.Layer(1.0, 0.2), 8, mass=copies / copies.sum().double())
    assert (merged.spread - full.spread).abs().max() > 1e-3


def test_layerwise_groups_of_duplicates_with_size_bias_change_nothing():
    x = dyn.biased_cloud(9, 5, 0.5, 3)
    labels = torch.arange(9).repeat_interleave(torch.arange(1, 10))
    groups = dyn.groups_of(labels, size_bias=True)
    full = dyn.simulate(x[labels], dyn.Layer(4.0, 0.2), 8)
    merged = dyn.simulate(x[labels], dyn.Layer(4.0, 0.2), 8, merge=lambda u, layer: groups)
    torch.testing.assert_close(merged.tokens, full.tokens)


def test_group_means_and_copies():
    groups = dyn.groups_of(torch.tensor([0, 1, 0]), size_bias=False)
    y = dyn.group_means(torch.tensor([[1.0], [5.0], [3.0]], dtype=torch.float64), groups)
    assert y.tolist() == [[2.0], [5.0]]
    assert dyn.copy_back(y, groups).tolist() == [[2.0], [5.0], [2.0]]
    with pytest.raises(ValueError, match="do not occur"):
        dyn.groups_of(torch.tensor([0, 2]), size_bias=False)


@pytest.mark.parametrize(("m", "left"), [(0.0, 80), (0.3, 56), (0.75, 20), (0.9, 20)])
def test_bipartite_merging_keeps_one_minus_m_up_to_saturation(m, left):
    groups = particle_merging.BipartiteMerge(m, 0.25, seed=1)(dyn.uniform_cloud(80, 6, 0), 0)
    assert len(groups.sizes) == left
    assert groups.sizes.sum() == 80


def test_bipartite_merging_draws_anew_in_every_layer_and_for_every_seed():
    x = dyn.uniform_cloud(30, 6, 0)
    drawn = {
        tuple(particle_merging.BipartiteMerge(0.3, 0.5, seed)(x, layer).labels.tolist())
        for seed in range(3)
        for layer in range(4)
    }
    assert len(drawn) == 12
    again = [particle_merging.BipartiteMerge(0.3, 0.5, 1)(x, 2).labels for _ in range(2)]
    assert torch.equal(*again)


def test_bipartite_merging_takes_the_most_similar_sources_first():
    x = dyn.uniform_cloud(40, 6, 0)
    copies = torch.cat([x, x, x])  # every token has two twins; a twin among the destinations has cosine 1
    groups = particle_merging.BipartiteMerge(0.2, 0.5, seed=0)(copies, 0)
    spread = (copies - dyn.copy_back(dyn.group_means(copies, groups), groups)).norm(dim=-1)
    assert spread.max() < 1e-7


# Trajectories ----------------------------------------------------------------------------------------------


def test_spread_and_odds_agree_with_their_definitions():
    x = dyn.biased_cloud(25, 7, 0.5, 0)
    run = dyn.simulate(x, dyn.Layer(1.0, 0.1), 1)
    r2 = float(x.mean(0).square().sum())
    assert run.spread[0] == pytest.approx(1 - r2)
    assert run.R[0] == pytest.approx(math.sqrt(r2))
    assert run.odds[0] == pytest.approx(r2 / (1 - r2))


def test_an_observer_sees_the_stream_that_every_number_is_of():
    x, seen = dyn.biased_cloud(25, 7, 0.5, 0), []
    run = dyn.simulate(x, dyn.Layer(1.0, 0.1), 3, observe=lambda layer, z: seen.append((layer, z)))
    assert [layer for layer, _ in seen] == [0, 1, 2, 3]
    torch.testing.assert_close(seen[0][1], x)
    assert torch.equal(seen[-1][1], run.tokens)
    torch.testing.assert_close(torch.stack([dyn.spread(z) for _, z in seen]), run.spread)


def test_a_collapsed_cloud_runs_to_the_end_unless_a_stop_is_asked_for():
    same = torch.eye(3, dtype=torch.float64)[:1].repeat(4, 1)
    assert dyn.simulate(same, dyn.Layer(1.0, 0.1), 3).spread.tolist() == [0.0] * 4


def test_spread_and_mean_length_by_hand():
    line = torch.tensor([[2.0], [-1.0], [1.0], [5.0]], dtype=torch.float64)
    mass = torch.tensor([0.5, 0.25, 0.25, 0.0], dtype=torch.float64)
    assert (dyn.mean_length(line), dyn.spread(line)) == (0.5, 0.75)
    assert (dyn.mean_length(line, mass), dyn.spread(line, mass)) == (0.5, 0.75)
    mass = mass.flip(0)
    assert (dyn.mean_length(line, mass), dyn.spread(line, mass)) == (0.5, 0.75)


def test_layers_to_interpolates_and_stop_ends_the_run():
    x = dyn.equiangular_cloud(10, 0.3)
    run = dyn.simulate(x, dyn.Layer(0.0, 0.1), 200, stop=0.05)
    assert run.spread[-2] >= 0.05 > run.spread[-1]
    assert len(run.spread) - 2 < run.layers_to(0.05) <= len(run.spread) - 1
    assert run.layers_to(2.0) == 0.0
    assert run.layers_to(1e-9) == math.inf


def test_spread_is_exact_when_tiny():
    x = dyn.unit(torch.ones(50, 4, dtype=torch.float64) + 1e-9 * dyn.gaussian(50, 4, 0))
    assert 1e-19 < dyn.spread(x) < 1e-17


def test_single_precision_follows_double():
    x = dyn.biased_cloud(300, 8, 0.4, 0)
    a, b = (dyn.simulate(x.to(t), dyn.Layer(2.0, 0.1), 20).spread for t in (torch.float32, torch.float64))
    torch.testing.assert_close(a, b, rtol=1e-4, atol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_follows_the_cpu():
    x, merge = dyn.biased_cloud(300, 8, 0.4, 0), particle_merging.BipartiteMerge(0.3, 0.25, seed=1)
    layer = dyn.Layer(2.0, 0.1, values="random")
    a, b = (dyn.simulate(y, layer, 10, merge=merge).spread for y in (x, x.cuda()))
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dyn.Layer(-1.0, 0.1), "beta -1.0"),
        (lambda: dyn.Layer(1.0, 0.1, "both"), "norm 'both'"),
        (lambda: particle_merging.BipartiteMerge(1.0, 0.2, 0), r"m 1.0"),
        (lambda: dyn.equiangular_cloud(4, -0.5), "cosine -0.5"),
        (lambda: mf.poisson_cloud(4, 3, 1.0, 0), "radius 1.0"),
        (lambda: particle_merging.mixture_cloud(4, 3, 1.5, 0.1, 0), "unique 1.5"),
        (lambda: hierarchy.hierarchical_cloud(1, 3, 0.1, 0.1, 0.1), "frames 1"),
        (lambda: mf.mean_flow(dyn.uniform_cloud(4, 3, 0), 1.0, sign=2), "sign 2"),
        (lambda: hierarchy.alternate(dyn.uniform_cloud(5, 3, 0), 2, dyn.Layer(0.0, 0.1), 1), "5 tokens"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.usefixtures("unchecked")
def test_weights_of_the_wrong_length_are_an_error():
    x = dyn.uniform_cloud(4, 3, 0)
    with pytest.raises(ValueError, match="driving"):
        dyn.simulate(x, dyn.Layer(0.0, 0.1), 1, driving=torch.ones(3))
    with pytest.raises(ValueError, match="leave driving out"):
        dyn.simulate(
            x,
            dyn.Layer(0.0, 0.1),
            1,
            driving=torch.ones(4),
            merge=particle_merging.BipartiteMerge(0.1, 0.5, 0),
        )


# Clouds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cosine", [-0.1, 0.0, 0.4, 1.0])
def test_equiangular_cloud(cosine):
    x = dyn.equiangular_cloud(8, cosine)
    want = torch.full((8, 8), cosine, dtype=torch.float64).fill_diagonal_(1.0)
    torch.testing.assert_close(x @ x.T, want)


def test_equiangular_tokens_are_the_axes_unless_a_cosine_is_given_and_one_is_itself():
    torch.testing.assert_close(dyn.equiangular_cloud(3), torch.eye(3, dtype=torch.float64))
    assert dyn.equiangular_cloud(1, 1.0).tolist() == dyn.equiangular_cloud(1, -0.5).tolist() == [[1.0]]


def test_numbers_are_drawn_in_double_precision_and_rounded_afterwards():
    double, single = dyn.gaussian(3, 2, 0), dyn.gaussian(3, 2, 0, torch.float32)
    assert torch.equal(single, double.float()) and not torch.equal(single.double(), double)


def test_the_last_axis_is_divided_by_its_length_whatever_comes_before():
    assert dyn.unit(torch.tensor([3.0, 4.0])).tolist() == pytest.approx([0.6, 0.8])
    assert dyn.unit(torch.tensor([[[0.0, 2.0], [5.0, 0.0]]])).tolist() == [[[0.0, 1.0], [1.0, 0.0]]]


@pytest.mark.parametrize("bias", [0.33, -1.0])
def test_a_biased_cloud_leans_along_the_first_axis_by_its_bias(bias):
    mean = dyn.biased_cloud(4000, 64, bias, 0).mean(0)
    assert float(mean[0]) == pytest.approx(bias / math.sqrt(1 + bias**2), rel=0.03)
    assert float(mean[1:].abs().max()) < 0.02


@pytest.mark.parametrize("width", [2, 3, 8])
def test_poisson_cloud_has_the_mean_length_of_its_law(width):
    x = mf.poisson_cloud(40_000, width, 0.5, 0)
    assert dyn.mean_length(x) == pytest.approx(float(mf.mobius_mean(0.5, width)), abs=0.01)


def test_mixture_cloud_has_the_share_of_unique_tokens_and_the_jitter():
    x, alone = particle_merging.mixture_cloud(400, 64, 0.25, 0.3, seed=0)
    assert alone.sum() == 100
    assert (x[~alone] @ x[~alone].T).mean() == pytest.approx(1 / (1 + 0.3**2), abs=0.01)


def test_hierarchical_cloud_has_the_shares_asked_for():
    x = hierarchy.hierarchical_cloud(3, 4, 0.5, 0.5, math.sqrt(0.5))
    torch.testing.assert_close(
        hierarchy.component_shares(x, 3), torch.tensor([0.25, 0.25, 0.5], dtype=torch.float64)
    )


def test_the_layer_of_a_spread_lies_between_its_neighbours_on_the_log_scale():
    path = dyn.Trajectory(torch.tensor([1.0, 0.5, 0.1, 0.05], dtype=torch.float64), torch.eye(3).double())
    expected = 1 + (math.log(0.5) - math.log(0.2)) / (math.log(0.5) - math.log(0.1))
    assert path.layers_to(0.2) == pytest.approx(expected)
    assert path.layers_to(0.05) == math.inf, "it never falls below"


@pytest.mark.parametrize("tokens", [1, 2, 3, 8])
def test_cosines_of_equiangular_tokens_reach_from_those_of_a_simplex_to_one(tokens):
    lowest = -1 / max(tokens - 1, 1)
    assert dyn.equiangular_cloud(tokens, lowest).shape == dyn.equiangular_cloud(tokens, 1.0).shape
    for cosine in (lowest - 0.01, 1.01):
        with pytest.raises(ValueError, match="must lie in"):
            dyn.equiangular_cloud(tokens, cosine)

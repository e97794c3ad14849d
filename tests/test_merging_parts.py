"""The parts of merging: streamed matching against whole scores, and the spread of what stays."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from lib.merging import (
    AdaptiveRule,
    FastVGGTRule,
    Grouping,
    KeyValueGridRule,
    SplitRule,
    TokenLayout,
    UniformRule,
)
from lib.merging.matching import best_match, projected, unit_rows
from lib.merging.once import basis_of, groups_of, places_of, thinned
from lib.merging.placement import apportion, dither_order, nearest_kept, place_evenly, positions


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class LargestTensor(TorchDispatchMode):
    """Remembers the largest tensor that any operation made."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return out


@pytest.mark.parametrize("similarity", ["bf16", "fp32"])
@pytest.mark.parametrize("tile", [(1, 1), (7, 5), (64, 64), None])
def test_streamed_match_equals_whole_scores(similarity, tile):
    sources, destinations = unit_rows(noise(50, 8), similarity), unit_rows(noise(30, 8, seed=1), similarity)
    destinations[20:] = destinations[:10]  # exact ties: the first must win
    scores = sources @ destinations.T
    whole = (scores.bfloat16() if similarity == "bf16" else scores).max(dim=1)
    score, place = best_match(sources, destinations, similarity, tile)
    assert torch.equal(place, whole.indices) and torch.allclose(score, whole.values, atol=1e-6)


@pytest.mark.parametrize("fast", [True, False])
def test_rows_are_half_precision_only_where_that_is_fast(fast, monkeypatch):
    monkeypatch.setattr("lib.merging.matching.half_is_fast", lambda device: fast)
    rows = unit_rows(noise(5, 8), "bf16")
    assert rows.dtype == (torch.bfloat16 if fast else torch.float32)
    assert (
        torch.equal(rows.float(), rows.bfloat16().float())
        and unit_rows(noise(5, 8), "fp32").dtype == torch.float32
    )


def test_half_precision_products_choose_the_same_partners():
    """Both add up in float32; only where two scores round to neighbours may the order of adding up decide."""
    rows = unit_rows(noise(40, 96)[torch.arange(2000) % 40] + 0.3 * noise(2000, 96, seed=1), "bf16").float()
    sources, destinations = rows[:1500], rows[1500:]
    score, place = best_match(sources, destinations, "bf16")
    half, chosen = best_match(sources.bfloat16(), destinations.bfloat16(), "bf16")
    assert (place != chosen).float().mean() < 0.005
    exact = sources @ destinations.T
    lost = exact.gather(1, place[:, None]) - exact.gather(1, chosen[:, None])
    assert lost.abs().max() <= 2**-7 and (score.float() - half.float()).abs().max() <= 2**-7


@pytest.mark.slow
def test_scores_are_never_held_whole():
    sources, destinations = noise(400, 8), noise(300, 8, seed=1)
    with LargestTensor() as seen:
        best_match(sources, destinations, "fp32", tile=(32, 16))
    assert seen.numel <= sources.numel()
    layout = TokenLayout(8, 12, 16)
    x = noise(1, layout.tokens, 16)
    for rule in (UniformRule(0.5), UniformRule(0.9, region=1, protect_first_frame=False)):
        with LargestTensor() as seen:
            rule.plan(x, layout)
        assert seen.numel <= 512 * 2048


def test_a_tile_on_a_cpu_is_512_by_2048():
    with LargestTensor() as seen:
        best_match(noise(600, 2), noise(2100, 2, seed=1), "fp32")
    assert seen.numel == 512 * 2048


def test_match_needs_a_destination():
    with pytest.raises(ValueError, match="at least one destination"):
        best_match(noise(3, 4), noise(0, 4), "fp32")


def test_projection_is_fixed_by_its_seed_and_keeps_cosines_roughly():
    x = noise(200, 512)
    x[100:] = x[:100] + 0.1 * x[100:]  # each row has one near twin
    low = projected(x, 64, seed=3)
    assert low.shape == (200, 64) and torch.equal(low, projected(x, 64, seed=3))
    assert not torch.equal(low, projected(x, 64, seed=4))
    assert projected(x[:, :64], 64, seed=3) is not None and torch.equal(
        projected(x[:, :64], 64, 3), x[:, :64]
    )
    basis_of.cache_clear()
    assert torch.equal(low, projected(x, 64, seed=3)), "drawn anew"
    columns = projected(torch.eye(512, dtype=torch.float64), 64, seed=3)
    torch.testing.assert_close(columns.T @ columns, torch.eye(64, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(projected(torch.eye(512), 64, seed=3), columns.float(), atol=1e-6, rtol=0)
    unit = unit_rows(low, "fp32")
    assert torch.equal(best_match(unit[:100], unit[100:], "fp32")[1], torch.arange(100))


@pytest.mark.slow
@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_apportion_is_exact_even_and_fits(sizes, fraction):
    weights = torch.tensor(sizes)
    total = round(fraction * sum(sizes))
    shares = apportion(total, weights)
    assert int(shares.sum()) == total
    assert bool(((shares >= 0) & (shares <= weights)).all())
    if sum(sizes):
        assert bool(((shares - weights * total / sum(sizes)).abs() < 1).all())
    with pytest.raises(ValueError, match=f"hold 0 to {sum(sizes)} items"):
        apportion(sum(sizes) + 1, weights)


@pytest.mark.parametrize("seed", [None, 0, 7])
def test_dither_order_is_a_permutation_and_a_lattice(seed):
    layout = TokenLayout(3, 8, 16)
    order = dither_order(layout, seed)
    assert torch.equal(order.sort(dim=1).values, torch.arange(128).expand(3, -1))
    for frame in order.view(3, 8, 16):
        quarter = (frame < 32).view(4, 2, 8, 2).sum(dim=(1, 3))
        assert bool((quarter == 1).all())  # one of each 2x2 cell
        sixteenth = (frame < 8).view(2, 4, 4, 4).sum(dim=(1, 3))
        assert bool((sixteenth == 1).all())


def test_dither_order_is_even_for_any_number_on_any_grid():
    """No window of a quarter of the real grid is starved or crowded, whatever the number kept."""
    layout = TokenLayout(1, 28, 37)
    order = dither_order(layout, 2).view(28, 37)
    for count in (50, 100, 333, 518, 900):
        kept = (order < count).float()
        windows = torch.nn.functional.avg_pool2d(kept[None, None], (14, 18), stride=1)
        assert bool(((windows / (count / 1036) - 1).abs() < 0.35).all())


@pytest.mark.slow
@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(0, 3),
    st.integers(0, 1000),
    st.data(),
)
@settings(max_examples=100, deadline=None)
def test_nearest_kept_against_plain_search(frames, high, wide, special, seed, data):
    layout = TokenLayout(frames, high, wide, special)
    density = data.draw(st.sampled_from([0.05, 0.3, 0.9]))
    kept = torch.rand(layout.tokens, generator=torch.Generator().manual_seed(seed)) < density
    kept[seed % layout.tokens] = True
    owner = nearest_kept(layout, kept.view(frames, -1))
    per_frame, place = layout.tokens_per_frame, positions(layout)
    for token in range(layout.tokens):
        if kept[token]:
            assert owner[token] == token
            continue
        candidates = kept.nonzero().flatten().tolist()
        frame = token // per_frame
        expected = min(
            candidates,
            key=lambda c: (
                abs(c // per_frame - frame),
                c // per_frame,
                float((place[c % per_frame] - place[token % per_frame]).square().sum()),
                c,
            ),
        )
        assert owner[token] == expected
    with pytest.raises(ValueError, match="at least one token must be kept"):
        nearest_kept(layout, torch.zeros(frames, per_frame, dtype=torch.bool))


def test_grid_by_stride_keeps_the_lattice():
    layout = TokenLayout(3, 5, 7)
    rule = KeyValueGridRule(stride=2)
    kept = rule.kept_tokens(layout)
    assert bool(kept[0].all()) and bool(kept[:, :5].all())
    grid = kept[1, 5:].view(5, 7)
    assert bool(grid[::2, ::2].all()) and int(grid.sum()) == 3 * 4
    assert rule.kept(layout) == (40 + 2 * (5 + 12)) / 120
    plan = rule.plan(noise(1, layout.tokens, 4), layout)
    assert plan.kept == rule.kept(layout) and plan.query_length == layout.tokens
    shifted = KeyValueGridRule(stride=2, seed=1).kept_tokens(TokenLayout(9, 5, 7))
    assert len(shifted[1:].unique(dim=0)) > 1
    everything = KeyValueGridRule(stride=1)
    assert everything.kept(layout) == 1.0 and everything.plan(noise(1, layout.tokens, 4), layout) is None


def test_grid_cells_count_their_patches():
    layout = TokenLayout(2, 4, 4, special=1)
    plan = KeyValueGridRule(stride=2, size_bias=True).plan(noise(1, layout.tokens, 4), layout)
    assert plan.sizes[0, :17].tolist() == [1.0] * 17  # the first frame stands for itself
    # Rows and columns 1 and 3 are kept, and a tie goes to the first: each key owns its 2x2 cell.
    assert plan.sizes[0, 17:].tolist() == [1.0] + [4.0] * 4


def test_uniform_regions_keep_merges_inside():
    layout = TokenLayout(6, 4, 5)
    for matching in ("features", "position"):
        rule = UniformRule(0.6, region=2, matching=matching, protect_first_frame=False)
        plan = rule.plan(noise(1, layout.tokens, 8), layout)
        group = layout.tokens_per_frame * 2
        assert torch.equal(plan.sources // group, plan.destinations // group)
    free = UniformRule(0.6, matching="features", protect_first_frame=False)
    plan = free.plan(noise(1, layout.tokens, 8), layout)
    assert not torch.equal(plan.sources // group, plan.destinations // group)


@pytest.mark.parametrize("seed", [3, 33])
def test_uniform_matches_in_the_projection_of_its_own_seed(seed):
    layout = TokenLayout(3, 4, 5)
    x = noise(1, layout.tokens, 40, seed=1)
    options = {"seed": seed, "protect_first_frame": False}
    plan = UniformRule(0.4, matching="projected", metric_width=8, **options).plan(x, layout)
    before = UniformRule(0.4, matching="features", **options).plan(projected(x, 8, seed), layout)
    assert torch.equal(plan.sources, before.sources) and torch.equal(plan.destinations, before.destinations)


def test_uniform_merges_the_most_similar_first():
    layout = TokenLayout(4, 6, 6)
    x = noise(1, layout.tokens, 16)
    half = UniformRule(0.2, matching="features").plan(x, layout)
    whole = UniformRule(0.4, matching="features").plan(x, layout)
    assert set(half.sources[0].tolist()) < set(whole.sources[0].tolist())
    unit = unit_rows(x[0], "fp32")
    scores = (unit[whole.sources[0]] * unit[whole.destinations[0]]).sum(dim=1)
    assert bool((scores.diff() <= 1e-6).all())
    by_place = UniformRule(0.4, matching="position").plan(x, layout)
    assert (
        scores.mean() > 0.1 + (unit[by_place.sources[0]] * unit[by_place.destinations[0]]).sum(dim=1).mean()
    )


def test_a_zero_row_is_similar_to_nothing():
    """Its cosine is 0, not NaN: it is merged after every source with a positive score."""
    layout = TokenLayout(4, 6, 6)
    x = noise(1, layout.tokens, 16)
    merged = UniformRule(0.2, matching="features").plan(x, layout).sources[0, :5]
    x[0, merged] = 0
    assert bool(unit_rows(x[0], "fp32").isfinite().all()) and not bool(unit_rows(x[0], "bf16")[merged].any())
    plan = UniformRule(0.2, matching="features").plan(x, layout)
    assert not set(merged.tolist()) & set(plan.sources[0].tolist())


@pytest.mark.parametrize("weighted", [False, True])
def test_half_precision_means_are_rounded_once(weighted):
    """Groups of 1 to 200 equal values: their mean is that value, whatever the dtype."""
    sizes = torch.arange(1, 201)
    rows = torch.arange(200).repeat_interleave(sizes)[None]
    weights = torch.ones(rows.shape, dtype=torch.float64) if weighted else None
    x = torch.full((1, 1, rows.shape[1], 1), 1.1, dtype=torch.bfloat16)
    merged = Grouping.from_rows(rows, 200, weights=weights).merge(x)
    assert merged.dtype == torch.bfloat16 and bool((merged == x[0, 0, 0, 0]).all())


def test_dither_order_of_a_grid_that_is_a_power_of_two_is_bayers_matrix():
    bayer = torch.tensor([[0]])
    for _ in range(2):  # Bayer 1973: each cell holds the smaller matrix, in this order
        bayer = torch.cat(
            [torch.cat([4 * bayer, 4 * bayer + 2], 1), torch.cat([4 * bayer + 3, 4 * bayer + 1], 1)]
        )
    assert dither_order(TokenLayout(1, 4, 4), None).view(4, 4).tolist() == bayer.tolist()


def test_frames_of_a_seed_keep_patches_in_the_same_order_shifted_around_the_edges():
    layout = TokenLayout(6, 8, 8)
    base = dither_order(layout, None)[0].reshape(8, 8)
    shifts = {tuple(base.roll((i, j), (0, 1)).flatten().tolist()) for i in range(8) for j in range(8)}
    seeded = [tuple(order) for order in dither_order(layout, 5).tolist()]
    assert set(seeded) <= shifts and len(set(seeded)) > 1
    places = torch.randint(8, (6, 2), generator=torch.Generator().manual_seed(5)).tolist()
    assert [order[0] for order in seeded] == [base[i, j] for i, j in places], "as drawn, so that it repeats"


def test_dither_order_of_another_grid_is_that_of_the_larger_matrix_around_it():
    larger = dither_order(TokenLayout(1, 8, 8), None).view(8, 8)[:5, :5].flatten()
    assert torch.equal(dither_order(TokenLayout(1, 5, 5), None)[0], larger.argsort().argsort())


def test_special_tokens_are_placed_last():
    layout = TokenLayout(2, 2, 3, special=3)
    kept = place_evenly(layout, torch.ones(2, 9, dtype=torch.bool), torch.tensor([6, 7]), seed=None)
    assert kept[0].tolist() == [False] * 3 + [True] * 6
    assert kept[1].tolist() == [True] + [False] * 2 + [True] * 6


def test_one_item_goes_into_the_only_bin_that_holds_any():
    assert apportion(1, torch.tensor([0, 1, 0])).tolist() == [0, 1, 0]


def test_what_blocks_share_is_made_outside_inference_mode():
    """So that a pass with gradients may use it afterwards."""
    layout, cpu = TokenLayout(3, 3, 3, special=1), torch.device("cpu")
    for cached in (places_of, groups_of, thinned, basis_of):
        cached.cache_clear()
    with torch.inference_mode():
        places = places_of(FastVGGTRule(0.3), layout, cpu)
        made = [*vars(places).values(), *groups_of(UniformRule(0.3), layout, cpu)[0]]
        made += [*thinned(KeyValueGridRule(0.3), layout, cpu), basis_of(8, 4, 0, cpu, torch.float32)]
    assert len(made) == 10 and not any(tensor.is_inference() for tensor in made)


def test_a_group_without_free_tokens_needs_no_destination_and_one_with_a_single_token_keeps_it():
    """Frame 0 is protected. In pairs of frames of one patch one token of three can merge: 2 or 3."""
    single = TokenLayout(4, 1, 1, special=0)
    assert UniformRule(0.1, region=1).largest_m(TokenLayout(4, 5, 7)) == 102 / 160
    assert UniformRule(0.3, region=1).plan(noise(1, 160, 8), TokenLayout(4, 5, 7)).kept == 0.7
    rule = UniformRule(0.25, region=2, matching="features")
    assert rule.largest_m(single) == 0.25
    plan = rule.plan(noise(1, 4, 8), single)
    assert {*plan.sources[0].tolist(), *plan.destinations[0].tolist()} == {2, 3}
    nearly = UniformRule(0.1, region=9, matching="position").plan(noise(1, 10, 8), TokenLayout(10, 1, 1, 0))
    assert nearly.sources.tolist()[0][0] < 9, "the last frame is a group of its own"


def test_destinations_are_one_free_token_in_a_square_of_the_stride():
    layout = TokenLayout(4, 5, 7)
    free = torch.ones(4, 40, dtype=torch.bool)
    for stride, count in ((1, 150), (2, 40), (3, 18), (4, 10)):
        assert int(UniformRule(0.1, stride=stride).destinations_of(layout, free, 10).sum()) == count


def test_of_equally_similar_tokens_the_first_merge_first():
    layout, x = TokenLayout(4, 8, 8), torch.ones(1, 4 * 69, 4)  # cosines of exactly 1
    uniform = UniformRule(0.3, matching="features")
    (first, _), released = groups_of(uniform, layout, x.device)[0], FastVGGTRule(0.3)
    assert uniform.plan(x, layout).sources.tolist() == [first[:83].tolist()]
    first = released.mergeable(layout).nonzero().flatten()
    assert released.plan(x, layout).sources.tolist() == [first[:82].tolist()]
    assert AdaptiveRule(0.0, most=0.3).plan(x, layout).sources.diff().min() > 0, "of no loss all"
    rows = Grouping.from_rows(torch.arange(300)[None] % 2, 2)
    assert rows.members.tolist() == [[*range(0, 300, 2), *range(1, 300, 2)]]


def test_largest_m_of_a_grid_and_of_both_sides():
    layout, single = TokenLayout(4, 5, 7), TokenLayout(4, 1, 1, special=0)
    assert KeyValueGridRule(0.1).unprotected().largest_m(layout) == 159 / 160
    assert SplitRule(0.1, region=2).largest_m(single) == 0.5, "twice what the queries reach"
    assert SplitRule(0.5, query_m=0.25, region=2).largest_m(single) == 0.75, "what the keys reach"
    assert SplitRule(0.5, query_m=0.26, region=2).largest_m(single) == 0
    two = TokenLayout(2, 1, 1, special=0)  # frame 0 stays, and a query alone has nothing to merge with
    for m, query_m, said in ((0.5, None, "0.0000"), (0.75, 0.0, "0.5000")):
        with pytest.raises(ValueError, match=f"m = {m} is out of reach.*largest m for this layout is {said}"):
            SplitRule(m, query_m=query_m).kept(two)
    assert SplitRule(0.5, query_m=0.0).kept(two) == 0.5


def test_both_sides_of_a_split_have_its_seed():
    rule = SplitRule(0.5, seed=5)
    assert (rule.for_keys.seed, rule.for_queries.seed) == (5, 5)


def test_a_grid_of_a_seed_repeats():
    rule = KeyValueGridRule(stride=3, seed=1)
    kept = [rule.kept_tokens(TokenLayout(9, 7, 7)) for _ in range(3)]
    assert torch.equal(kept[0], kept[1]) and torch.equal(kept[0], kept[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "stride must be at least 1, got 0"),
        ({"matching": "colour"}, "matching must be one of .* got 'colour'"),
        ({"similarity": "fp8"}, "similarity must be one of .* got 'fp8'"),
    ],
)
def test_options_of_the_uniform_rule_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        UniformRule(0.3, **options)

"""What every merging rule promises: exactness for duplicates, conserved weight, the m that was asked for."""

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from lib.merging import FastVGGTRule, Grouping, KeyValueGridRule, Plan, SplitRule, TokenLayout, UniformRule

LAYOUT = TokenLayout(frames=4, patches_high=5, patches_wide=7)

RULES = {
    "fastvggt": lambda m, **o: FastVGGTRule(m, similarity="fp32", **o),
    "uniform features": lambda m, **o: UniformRule(m, matching="features", **o),
    "uniform projected": lambda m, **o: UniformRule(m, metric_width=8, **o),
    "uniform regions": lambda m, **o: UniformRule(m, matching="features", region=2, **o),
    "uniform position": lambda m, **o: UniformRule(m, matching="position", **o),
    "uniform keys only": lambda m, **o: UniformRule(m, matching="features", merge_queries=False, **o),
    "uniform unprotected": lambda m, **o: UniformRule(
        m, protect_first_frame=False, protect_special=False, **o
    ),
    "grid": lambda m, **o: KeyValueGridRule(m, **o),
    "grid shifted": lambda m, **o: KeyValueGridRule(m, seed=5, keep_first_frame=False, **o),
    "grid bare": lambda m, **o: KeyValueGridRule(m, keep_first_frame=False, keep_special=False, **o),
    "split": lambda m, **o: SplitRule(m, **o),
    "split regions": lambda m, **o: SplitRule(m, query_m=m / 3, region=2, protect=False, **o),
}
EXACT_M = [name for name in RULES if name != "fastvggt"]

layouts = st.builds(
    TokenLayout,
    frames=st.integers(1, 5),
    patches_high=st.integers(1, 6),
    patches_wide=st.integers(1, 7),
    special=st.integers(0, 3),
)
strengths = st.floats(0.0, 0.999)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def features(layout: TokenLayout, batch: int = 1, width: int = 16, seed: int = 0) -> torch.Tensor:
    return noise(batch, layout.tokens, width, seed=seed)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, plan: Plan) -> torch.Tensor:
    bias = None if plan.log_sizes is None else plan.log_sizes[:, None, None].to(q.dtype)
    q, k, v = plan.merge_queries(q), plan.merge_keys(k), plan.merge_keys(v)
    return plan.unmerge(scaled_dot_product_attention(q, k, v, attn_mask=bias))


def reachable(name: str, layout: TokenLayout, m: float, **options):
    """The rule at `m`, or at the largest m it can reach if that is less."""
    rule = RULES[name](m, **options)
    return RULES[name](min(m, max(0.0, rule.largest_m(layout))), **options)


def duplicated(plan: Plan, values: torch.Tensor) -> torch.Tensor:
    """`values` (B, heads, N, D) with every source made equal to its destination."""
    copied = values.clone()
    for b, (sources, destinations) in enumerate(zip(plan.sources, plan.destinations, strict=True)):
        copied[b][:, sources] = values[b][:, destinations]
    return copied


# exactness with size bias ---------------------------------------------------------------------------


MATCHED = [name for name in RULES if not name.startswith(("grid", "split"))]  # keys merge with partners


@pytest.mark.parametrize("name", MATCHED)
@pytest.mark.parametrize("m", [0.2, 0.5, 0.95])
def test_exact_duplicates_with_size_bias_change_nothing(name, m):
    rule = reachable(name, LAYOUT, m, size_bias=True)
    plan = rule.plan(features(LAYOUT, batch=2), LAYOUT)
    q, k, v = (duplicated(plan, noise(2, 3, LAYOUT.tokens, 8, seed=seed)) for seed in (1, 2, 3))
    plain = scaled_dot_product_attention(q, k, v)
    assert (attend(q, k, v, plan) - plain).abs().max() < 1e-12


@pytest.mark.parametrize("name", MATCHED)
def test_exact_duplicates_without_size_bias_change_the_result(name):
    plan = reachable(name, LAYOUT, 0.5).plan(features(LAYOUT), LAYOUT)
    assert plan.log_sizes is None
    q, k, v = (duplicated(plan, noise(1, 3, LAYOUT.tokens, 8, seed=seed)) for seed in (1, 2, 3))
    plain = scaled_dot_product_attention(q, k, v)
    assert (attend(q, k, v, plan) - plain).abs().max() > 1e-2


@pytest.mark.parametrize("name", ["grid", "grid shifted", "grid bare"])
@pytest.mark.parametrize("m", [0.2, 0.5, 0.95])
def test_grid_is_exact_for_duplicates_in_its_cells(name, m):
    rule = reachable(name, LAYOUT, m, size_bias=True)
    plan = rule.plan(features(LAYOUT), LAYOUT)
    # Fill keys and values row by row from the cell sizes alone: the order of tokens does not matter.
    rows = plan.keys.members[0].repeat_interleave(plan.sizes[0].long())
    q, k, v = (noise(1, 2, LAYOUT.tokens, 8, seed=seed) for seed in (1, 2, 3))
    plain = scaled_dot_product_attention(q, k[:, :, rows], v[:, :, rows])
    assert (attend(q, k, v, plan) - plain).abs().max() < 1e-12
    if len(plan.sizes.unique()) > 1:  # equal sizes shift all logits alike
        unweighted = reachable(name, LAYOUT, m).plan(features(LAYOUT), LAYOUT)
        assert (attend(q, k, v, unweighted) - plain).abs().max() > 1e-3


@pytest.mark.parametrize(("size_bias", "order"), [(True, 2.0), (False, 0.0)])
@pytest.mark.parametrize("name", ["fastvggt", "uniform keys only"])
def test_error_order_for_near_duplicates(name, size_bias, order):
    """Keys and values a distance ε from their destination's: error O(ε²) with the bias, O(1) without (T4)."""
    plan = reachable(name, LAYOUT, 0.4, size_bias=size_bias).plan(features(LAYOUT), LAYOUT)
    q, k, v = (noise(1, 3, LAYOUT.tokens, 8, seed=seed) for seed in (1, 2, 3))
    q = duplicated(plan, q)  # queries exact: the key side is what the order is about
    errors = []
    for radius in (1e-2, 5e-3):
        near_k, near_v = duplicated(plan, k) + radius * k.sin(), duplicated(plan, v) + radius * v.cos()
        plain = scaled_dot_product_attention(q, near_k, near_v)
        errors.append(float((attend(q, near_k, near_v, plan) - plain).abs().max()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


# keys and queries apart -----------------------------------------------------------------------------


def test_the_split_rule_thins_keys_as_the_grid_and_merges_queries_as_regions():
    x, rule = features(LAYOUT), SplitRule(0.6, region=2, size_bias=True)
    plan = rule.plan(x, LAYOUT)
    keys, queries = KeyValueGridRule(0.6, size_bias=True, seed=33), UniformRule(0.3, region=2)
    assert torch.equal(plan.keys.members, keys.plan(x, LAYOUT).keys.members)
    assert torch.equal(plan.sizes, keys.plan(x, LAYOUT).sizes) and plan.size_bias
    assert torch.equal(plan.output_rows, queries.plan(x, LAYOUT).output_rows)
    assert (plan.key_length, plan.query_length) == (round(0.4 * LAYOUT.tokens), round(0.7 * LAYOUT.tokens))
    assert rule.scored_pairs(LAYOUT) == queries.scored_pairs(LAYOUT)
    assert rule.matching_operations(LAYOUT, 256) == queries.matching_operations(LAYOUT, 256)
    one_side = SplitRule(0.6, query_m=0.0).plan(x, LAYOUT)
    assert one_side.queries is None and one_side.key_length == plan.key_length


def test_the_split_rule_refuses_what_it_cannot_do():
    for wrong in (-0.1, 0.7):
        with pytest.raises(ValueError, match=r"query_m must lie in \[0, m\] = \[0, 0.6\], got"):
            SplitRule(0.6, query_m=wrong)
    with pytest.raises(ValueError, match="region must be at least 1 frame, got 0"):
        SplitRule(0.6, region=0)
    protecting, free = SplitRule(0.1, query_m=0.1), SplitRule(0.1).unprotected()
    assert protecting.largest_m(LAYOUT) == KeyValueGridRule(0.1).largest_m(LAYOUT)
    assert SplitRule(0.95, query_m=0.95).largest_m(LAYOUT) == 0.0, "its queries cannot be merged so far"
    assert not free.protect and free.largest_m(LAYOUT) > 0.95


# conservation ---------------------------------------------------------------------------------------


@pytest.mark.slow
@given(
    name=st.sampled_from(sorted(RULES)),
    layout=layouts,
    m=strengths,
    batch=st.integers(1, 3),
    size_bias=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_weights_and_outputs_account_for_every_token(name, layout, m, batch, size_bias):
    plan = reachable(name, layout, m, size_bias=size_bias).plan(features(layout, batch), layout)
    if plan is None:
        return
    assert plan.sizes.shape == (batch, plan.key_length)
    assert torch.allclose(plan.sizes.sum(1), torch.tensor(float(layout.tokens), dtype=torch.float64))
    assert bool((plan.sizes > 0).all())
    assert (plan.log_sizes is not None) == size_bias
    assert plan.pairs == plan.query_length * plan.key_length and plan.kept == plan.key_length / layout.tokens
    # Every original token has exactly one output: a row number is carried back to each.
    numbers = torch.arange(plan.query_length, dtype=torch.float64).expand(batch, -1)[..., None]
    outputs = plan.unmerge(numbers)
    assert outputs.shape == (batch, layout.tokens, 1)
    # No query row is computed for nobody, but for the averaged twin of a protected destination.
    read = [len(item.unique()) for item in outputs]
    if name == "fastvggt":
        assert all(plan.query_length - layout.tokens * 0.1 <= count for count in read)
    else:
        assert all(count == plan.query_length for count in read)


@pytest.mark.slow
@given(name=st.sampled_from(EXACT_M), layout=layouts, m=strengths)
@example(name="split", layout=TokenLayout(2, 1, 1, special=0), m=0.5)  # half of m rounds to no query
@example(name="split", layout=TokenLayout(2, 1, 1, special=0), m=0.75)
@settings(max_examples=200, deadline=None)
def test_kept_is_what_was_asked_for(name, layout, m):
    rule = RULES[name](m)
    dropped = round(m * layout.tokens)
    if dropped > round(rule.largest_m(layout) * layout.tokens):
        with pytest.raises(
            ValueError, match=rf"m = .*largest m for this layout is {rule.largest_m(layout):.4f}"
        ):
            rule.plan(features(layout), layout)
        return
    plan = rule.plan(features(layout), layout)
    if dropped == 0:
        assert plan is None
    else:
        assert plan.key_length == layout.tokens - dropped
        if name in MATCHED and name != "uniform keys only":
            assert plan.query_length == plan.key_length


@pytest.mark.parametrize("name", sorted(RULES))
def test_kept_falls_as_m_rises(name):
    lengths = []
    for m in (0.05, 0.2, 0.4, 0.55, 0.6):
        plan = reachable(name, LAYOUT, m).plan(features(LAYOUT), LAYOUT)
        lengths.append(plan.key_length)
    assert lengths == sorted(lengths, reverse=True) and lengths[0] > lengths[-1]


@pytest.mark.parametrize("name", sorted(RULES))
def test_largest_m_is_reached(name):
    strict = {"strict": True} if name == "fastvggt" else {}
    largest = RULES[name](0.0).largest_m(LAYOUT)
    plan = RULES[name](largest, **strict).plan(features(LAYOUT), LAYOUT)
    # The released rule appends each protected destination a second time.
    twice = (LAYOUT.tokens - plan.sources.shape[1] - plan.key_length) if name == "fastvggt" else 0
    assert plan.key_length == LAYOUT.tokens - round(largest * LAYOUT.tokens) - twice
    with pytest.raises(ValueError, match=f"largest m for this layout is {largest:.4f}"):
        RULES[name](min(0.999, largest + 2 / LAYOUT.tokens), **strict).plan(features(LAYOUT), LAYOUT)


# what stays untouched -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(RULES))
def test_m_zero_merges_nothing(name):
    assert RULES[name](0.0).plan(features(LAYOUT), LAYOUT) is None


@pytest.mark.parametrize("name", sorted(RULES))
@pytest.mark.parametrize("m", [-0.1, 1.0, 1.5, float("nan")])
def test_m_out_of_range(name, m):
    with pytest.raises(ValueError, match=r"m must lie in \[0, 1\), got"):
        RULES[name](m)


def test_nothing_merged_is_the_identity():
    rows = torch.arange(LAYOUT.tokens).expand(2, -1)
    same = Grouping.from_rows(rows, LAYOUT.tokens)
    sizes = torch.ones(2, LAYOUT.tokens, dtype=torch.float64)
    plan = Plan(LAYOUT.tokens, same, sizes, queries=same, output_rows=rows, size_bias=True)
    q = noise(2, 3, LAYOUT.tokens, 8)
    assert torch.equal(plan.unmerge(plan.merge_queries(q)), q)
    assert torch.equal(plan.merge_keys(q), q)
    assert bool((plan.log_sizes == 0).all()) and plan.kept == 1.0


@pytest.mark.slow
@given(name=st.sampled_from(MATCHED), layout=layouts, m=strengths)
@settings(max_examples=150, deadline=None)
def test_protected_tokens_keep_their_own_value(name, layout, m):
    rule = reachable(name, layout, m, size_bias=True)
    plan = rule.plan(features(layout), layout)
    if plan is None:
        return
    x = noise(1, 1, layout.tokens, 3)
    keys, back = plan.merge_keys(x), plan.unmerge(plan.merge_queries(x))
    if name == "fastvggt":
        protected = rule.protected(layout)
    else:
        grid = torch.zeros(layout.frames, layout.tokens_per_frame, dtype=torch.bool)
        grid[0] |= rule.protect_first_frame
        grid[:, : layout.special] |= rule.protect_special
        protected = grid.flatten().nonzero().flatten()
    if rule != UniformRule(rule.m, merge_queries=False):
        assert torch.allclose(back[0, 0, protected], x[0, 0, protected], atol=0, rtol=1e-15)
    for token in protected.tolist():
        assert bool((keys[0, 0] == x[0, 0, token]).all(dim=-1).any())


@pytest.mark.parametrize("name", MATCHED)
def test_rows_are_the_means_of_their_groups(name):
    """Merged rows against a plain loop over the pairs, and outputs copied to every source."""
    plan = reachable(name, LAYOUT, 0.5).plan(features(LAYOUT, batch=2), LAYOUT)
    x = noise(2, 2, LAYOUT.tokens, 3)
    merged = plan.merge_keys(x)
    for b in range(2):
        groups: dict[int, list[int]] = {}
        pairs = zip(plan.sources[b].tolist(), plan.destinations[b].tolist(), strict=True)
        for source, destination in pairs:
            groups.setdefault(destination, [destination]).append(source)
        for members in groups.values():
            mean = x[b][:, members].mean(dim=1)
            row = (merged[b] - mean[:, None]).abs().sum(dim=(0, 2)).argmin()
            assert torch.allclose(merged[b][:, row], mean, atol=1e-14)
            if plan.queries is not None:
                back = plan.unmerge(merged)[b]
                assert torch.allclose(back[:, members[1:]], mean[:, None].expand(-1, len(members) - 1, -1))


# symmetries -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(RULES))
def test_batch_items_are_planned_for_themselves(name):
    x = features(LAYOUT, batch=3)
    rule = reachable(name, LAYOUT, 0.5)
    together = rule.plan(x, LAYOUT)
    k = noise(3, 2, LAYOUT.tokens, 4, seed=9)
    for b in range(3):
        alone = rule.plan(x[b : b + 1], LAYOUT)
        assert torch.equal(alone.merge_keys(k[b : b + 1])[0], together.merge_keys(k)[b])
        back = together.unmerge(together.merge_queries(k))[b]
        assert torch.equal(alone.unmerge(alone.merge_queries(k[b : b + 1]))[0], back)
        assert torch.equal(alone.sizes[0], together.sizes[b])


def test_batch_items_really_differ():
    plan = UniformRule(0.3, matching="features").plan(features(LAYOUT, batch=2), LAYOUT)
    assert not torch.equal(plan.destinations[0], plan.destinations[1])


@pytest.mark.parametrize("name", [name for name in MATCHED if name != "uniform projected"])
def test_rotating_the_features_changes_no_plan(name):
    """Cosines do not know the basis: an orthogonal change of gauge, or a scale per token, moves nothing."""
    x = features(LAYOUT, width=12)
    rotation = torch.linalg.qr(noise(12, 12, seed=4)).Q
    scale = noise(1, LAYOUT.tokens, 1, seed=5).exp()
    rule = reachable(name, LAYOUT, 0.4)
    plans = [rule.plan(y, LAYOUT) for y in (x, x @ rotation, x * scale)]
    for other in plans[1:]:
        assert torch.equal(plans[0].sources, other.sources)
        assert torch.equal(plans[0].destinations, other.destinations)


@pytest.mark.parametrize("name", [name for name in MATCHED if name != "uniform position"])
def test_swapping_frames_with_equal_candidates_swaps_the_merges(name):
    """A plan follows features, not places: content moved within the source set takes its partner along."""
    x = features(LAYOUT)
    plan = reachable(name, LAYOUT, 0.3).plan(x, LAYOUT)
    first, second = plan.sources[0, 0], plan.sources[0, 1]
    if name == "uniform regions":  # both must be able to reach both destinations
        frame = plan.sources[0] // LAYOUT.tokens_per_frame // 2
        first, second = plan.sources[0][frame == frame[0]][:2]
    swapped = x.clone()
    swapped[0, first], swapped[0, second] = x[0, second], x[0, first]
    other = reachable(name, LAYOUT, 0.3).plan(swapped, LAYOUT)
    before = dict(zip(plan.sources[0].tolist(), plan.destinations[0].tolist(), strict=True))
    after = dict(zip(other.sources[0].tolist(), other.destinations[0].tolist(), strict=True))
    before[int(first)], before[int(second)] = before[int(second)], before[int(first)]
    assert after == before


@pytest.mark.parametrize("name", sorted(RULES))
def test_plans_repeat(name):
    one, two = (reachable(name, LAYOUT, 0.5).plan(features(LAYOUT), LAYOUT) for _ in range(2))
    assert torch.equal(one.keys.members, two.keys.members) and torch.equal(one.sizes, two.sizes)


@pytest.mark.parametrize("name", sorted(RULES))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dtypes_and_gradients(name, dtype):
    x = features(LAYOUT).to(dtype)
    plan = reachable(name, LAYOUT, 0.5, size_bias=True).plan(x, LAYOUT)
    q, k, v = (noise(1, 2, LAYOUT.tokens, 8, seed=s, dtype=torch.float32).to(dtype) for s in (1, 2, 3))
    for tensor in (q, k, v):
        tensor.requires_grad_()
    y = attend(q, k, v, plan)
    assert y.dtype == dtype and y.shape == q.shape
    y.float().square().sum().backward()
    assert all(bool(t.grad.isfinite().all()) and bool((t.grad != 0).any()) for t in (q, k, v))


@pytest.mark.parametrize("name", MATCHED)
def test_autocast_changes_no_plan(name):
    x = features(LAYOUT, width=24).float()
    rule = reachable(name, LAYOUT, 0.5)
    plain = rule.plan(x, LAYOUT)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = rule.plan(x, LAYOUT)
    assert torch.equal(plain.sources, cast.sources) and torch.equal(plain.destinations, cast.destinations)


@pytest.mark.parametrize("name", sorted(RULES))
def test_zero_rows_and_wrong_shapes(name):
    x = features(LAYOUT)
    x[0, ::3] = 0
    plan = reachable(name, LAYOUT, 0.5).plan(x, LAYOUT)
    assert bool(plan.merge_keys(noise(1, 1, LAYOUT.tokens, 4)).isfinite().all())
    with pytest.raises(ValueError, match=r"expected features of shape \(B, 160, C\)"):
        RULES[name](0.3).plan(x[:, 1:], LAYOUT)


def test_layout_and_plan_validate():
    with pytest.raises(ValueError, match="frames must be at least 1, got 0"):
        TokenLayout(0, 2, 2)
    with pytest.raises(ValueError, match="every one of the 3 rows needs a member"):
        Grouping.from_rows(torch.tensor([[0, 2, 2]]), 3)
    same = Grouping.from_rows(torch.arange(3)[None], 3)
    assert Plan(3, same, torch.ones(1, 3, dtype=torch.float64)).log_sizes is None
    with pytest.raises(ValueError, match="belong together"):
        Plan(3, same, torch.ones(1, 3, dtype=torch.float64), queries=same)
    with pytest.raises(ValueError, match="region must be at least 1 frame"):
        UniformRule(0.3, region=0)
    with pytest.raises(ValueError, match="either m or stride"):
        KeyValueGridRule()
    with pytest.raises(ValueError, match="metric_width"):
        UniformRule(0.3, metric_width=65)

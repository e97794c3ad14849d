"""The FastVGGT rule against stored plans of the released code, and what was mended in it."""

import csv
import json
from dataclasses import dataclass, field

import pytest
import torch
from parity import assert_close_golden
from safetensors.torch import load_file
from small_models import golden_vggt

from lib.merging import FastVGGTRule, MergingRule, Plan, TokenLayout


@pytest.fixture(scope="module")
def stored(golden, golden_config):
    return load_file(golden / golden_config["fastvggt_merge"]["file"])


def layout_of(section: dict, case: dict) -> TokenLayout:
    return TokenLayout(case["frames"], case["patches_high"], case["patches_wide"], section["special_tokens"])


def rule_of(section: dict, case: dict, m: float, cells=None, **options) -> FastVGGTRule:
    protect = section["protected_fraction"] if case.get("protect", True) else 0.0
    no_rand = case.get("no_rand", False)
    return FastVGGTRule(
        m, section["seed"], section["stride_x"], protect, no_rand=no_rand, cells=cells, **options
    )


def pairs_of(sources: torch.Tensor, destinations: torch.Tensor) -> set[tuple[int, int]]:
    return set(zip(sources.flatten().tolist(), destinations.flatten().tolist(), strict=True))


def test_every_stored_plan(stored, golden_config, subtests):
    section = golden_config["fastvggt_merge"]
    tolerances = golden_config["tolerances"]["fastvggt_merge"]
    for case in section["cases"]:
        layout = layout_of(section, case)
        for run in case["runs"]:
            for similarity in ("bf16", "fp32"):
                with subtests.test(run=run["key"], similarity=similarity):
                    rule = rule_of(section, case, run["merge_ratio"], similarity=similarity)
                    check_run(stored, tolerances, case["key"], run["key"], rule, layout)


def check_run(stored, tolerances, case: str, run: str, rule: FastVGGTRule, layout: TokenLayout) -> None:
    plan = rule.plan(stored[f"{case}.metric"], layout)
    assert pairs_of(plan.sources, plan.destinations) == pairs_of(
        stored[f"{run}.src_abs"], stored[f"{run}.dst_of_src_abs"]
    )
    destinations = stored[f"{case}.all_dst_abs"]
    # An unprotected case stores no list of protected tokens: there is none.
    protected = stored[f"{case}.protected_abs"] if rule.protect else destinations[:0]
    assert rule.destinations(layout).tolist() == sorted(destinations.tolist())
    assert set(rule.protected(layout).tolist()) == set(protected.tolist())
    # Stored rows are [unmerged, destinations, protected], each in the released order; ours ascend.
    order = [part.argsort() for part in (stored[f"{run}.unm_abs"], destinations, protected)]
    starts = (0, len(order[0]), len(order[0]) + len(order[1]))
    rows = torch.cat([start + part for start, part in zip(starts, order, strict=True)])
    merged = {}
    for name in "qkv":
        merge = plan.merge_queries if name == "q" else plan.merge_keys
        merged[name] = merge(stored[f"{case}.{name}"][:, None])[:, 0]
        key = f"{run}.{name}_merged"
        assert_close_golden(key, merged[name], stored[key][:, rows], tolerances, "fastvggt_merge")
    key = f"{run}.v_unmerged"
    assert_close_golden(key, plan.unmerge(merged["v"]), stored[key], tolerances, "fastvggt_merge")


def test_defaults_are_the_released_constants(golden_config):
    assert FastVGGTRule(0.3) == rule_of(golden_config["fastvggt_merge"], {}, 0.3, similarity="bf16")


def test_cells_can_be_passed_in(stored, golden_config):
    section = golden_config["fastvggt_merge"]
    for case in (case for case in section["cases"] if case["cells_key"]):
        layout = layout_of(section, case)
        given = rule_of(section, case, 0.3, cells=stored[case["cells_key"]])
        drawn = rule_of(section, case, 0.3)
        assert torch.equal(given.destinations(layout), drawn.destinations(layout))
        shifted = rule_of(section, case, 0.3, cells=(stored[case["cells_key"]] + 1) % 4)
        assert not torch.equal(shifted.destinations(layout), drawn.destinations(layout))
        assert given == rule_of(section, case, 0.3, cells=stored[case["cells_key"]]) != shifted
        json.dumps(given.cells)


@pytest.mark.slow
def test_effective_reduction(golden, golden_config):
    section = golden_config["fastvggt_effective_reduction"]
    with (golden / section["file"]).open() as stream:
        table = list(csv.DictReader(stream))
    frames = {int(row["frames"]) for row in table}
    assert frames == set(section["frames"])
    for count in sorted(frames):
        layout = TokenLayout(
            count, section["patches_high"], section["patches_wide"], section["special_tokens"]
        )
        # Lengths do not depend on features: one channel keeps this quick.
        x = torch.randn(1, layout.tokens, 1, generator=torch.Generator().manual_seed(0))
        for row in (row for row in table if int(row["frames"]) == count):
            plan = FastVGGTRule(
                float(row["ratio"]), 33, section["stride_x"], section["protected_fraction"]
            ).plan(x, layout)
            assert layout.tokens == int(row["N"])
            assert plan.key_length == plan.query_length == int(row["merged_len"])
            assert plan.sources.shape[1] == int(row["r_effective"])
            assert plan.kept == pytest.approx(float(row["kept"]), abs=6e-5)
            assert plan.pairs / layout.tokens**2 == pytest.approx(float(row["attn_pairs_rel"]), abs=6e-5)


@dataclass
class FixedPlanRule:
    """Replays stored pairs, one (sources, destinations) per merging block, in order."""

    rule: FastVGGTRule
    pairs: list[tuple[torch.Tensor, torch.Tensor]]

    def plan(self, x: torch.Tensor, layout: TokenLayout) -> Plan:
        sources, destinations = self.pairs.pop(0)
        return self.rule.replay(layout, sources.flatten()[None].long(), destinations.flatten()[None].long())


@dataclass
class Recording:
    """Passes the plans of a rule on and keeps them."""

    rule: MergingRule
    plans: list[Plan] = field(default_factory=list)

    def plan(self, x: torch.Tensor, layout: TokenLayout) -> Plan | None:
        plan = self.rule.plan(x, layout)
        self.plans.append(plan)
        return plan


@pytest.fixture(scope="module")
def aggregator(golden, golden_config):
    assert golden_config["fastvggt_e2e"]["model"] == "small_vggt"
    return golden_vggt(golden, golden_config, track=False).aggregator


@pytest.mark.slow
def test_end_to_end(golden, golden_config, aggregator, subtests):
    section = golden_config["fastvggt_e2e"]
    stored = load_file(golden / section["file"])
    tolerances = golden_config["tolerances"]["fastvggt_e2e"]
    images = stored[section["images"]].float()[None] / section["image_scale"]
    for run in section["runs"]:
        with subtests.test(run=run["key"]):
            rule = end_to_end_rule(section, run, stored)
            start = run["merging_start"] or 0
            with torch.no_grad():
                features, report = aggregator(
                    images, keep=run["stored_layers"], merging=rule, merging_start=start
                )
            for layer in run["stored_layers"]:
                key = f"{run['key']}.aggregated{layer}"
                value = features[layer].view(stored[key].shape)
                assert_close_golden(key, value, stored[key], tolerances, "fastvggt_e2e")
            if rule is not None:
                length = run["tokens_after_merge"]
                assert report.pairs == report.pairs_plain - run["merging_blocks"] * (
                    section["tokens"] ** 2 - length**2
                )
            if isinstance(rule, Recording):
                for block, plan in enumerate(rule.plans):
                    assert pairs_of(plan.sources, plan.destinations) == pairs_of(
                        *stored_pairs(stored, run, block)
                    )


def stored_pairs(stored: dict, run: dict, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    key = f"{run['key']}.block{block}"
    return stored[f"{key}.src_abs"], stored[f"{key}.dst_of_src_abs"]


def end_to_end_rule(section: dict, run: dict, stored: dict) -> MergingRule | None:
    """Our own matching where the run's margin decides it, the stored pairs where ties or rounding do."""
    if run["merge_ratio"] is None:
        return None
    rule = rule_of(
        section, {}, run["merge_ratio"], cells=stored[section["cells_key"]], similarity=run["similarity"]
    )
    if run["smallest_margin"] > 1e-5:
        return Recording(rule)
    return FixedPlanRule(rule, [stored_pairs(stored, run, block) for block in range(run["merging_blocks"])])


def test_end_to_end_destinations(golden, golden_config):
    section = golden_config["fastvggt_e2e"]
    stored = load_file(golden / section["file"])
    layout = layout_of(section, section)
    rule = rule_of(section, {}, 0.5)
    assert rule.destinations(layout).tolist() == sorted(stored[section["all_dst_key"]].flatten().tolist())
    assert rule.protected(layout).tolist() == sorted(stored[section["protected_key"]].flatten().tolist())


# what was mended, and what saturates ----------------------------------------------------------------


LAYOUT = TokenLayout(frames=4, patches_high=5, patches_wide=7)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_every_m_beyond_the_largest_gives_the_same_plan():
    x = noise(1, LAYOUT.tokens, 16)
    largest = FastVGGTRule(0.5).largest_m(LAYOUT)
    plans = [FastVGGTRule(m).plan(x, LAYOUT) for m in (largest, 0.7, 0.9, 0.999)]
    for plan in plans[1:]:
        assert torch.equal(plan.keys.members, plans[0].keys.members)
        assert torch.equal(plan.keys.offsets, plans[0].keys.offsets)
        assert torch.equal(plan.output_rows, plans[0].output_rows)
    below = FastVGGTRule(largest - 2 / LAYOUT.tokens).plan(x, LAYOUT)
    assert below.key_length > plans[0].key_length


def test_destinations_by_hand():
    """Frame 0, the special tokens, and the drawn patch of each cell of 2 x 2, counted along its rows."""
    layout = TokenLayout(2, 4, 6, special=1)
    rule = FastVGGTRule(0.5, cells=torch.tensor([[[0, 1, 2], [3, 1, 0]]]))
    patches = torch.zeros(4, 6, dtype=torch.bool)
    for row, column in ((0, 0), (0, 3), (1, 4), (3, 1), (2, 3), (2, 4)):
        patches[row, column] = True
    expected = [*range(25), 25, *(26 + patches.flatten().nonzero().flatten()).tolist()]
    assert rule.destinations(layout).tolist() == expected


def test_cells_are_sheared_where_the_width_is_no_multiple_of_the_stride():
    """As released: what was drawn for 2 x 6 patches is written to the first twelve of 2 x 7."""
    cells = torch.tensor([[[0, 3, 2]]])
    straight, sheared = (
        FastVGGTRule(0.5, cells=cells).destinations(TokenLayout(2, 2, wide, special=0)) - 2 * wide
        for wide in (6, 7)
    )
    assert straight[straight >= 0].tolist() == sheared[sheared >= 0].tolist() == [0, 9, 10]


def test_cells_are_drawn_from_the_seed_and_given_ones_are_values():
    drawn = [FastVGGTRule(0.5, seed=seed).destinations(LAYOUT).tolist() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    given = [FastVGGTRule(0.5, cells=torch.full((3, 2, 3), place)) for place in (1, 1, 2)]
    assert given[0] == given[1] != given[2] and hash(given[0]) == hash(given[1])
    assert json.loads(json.dumps(given[0].cells)) == [[[1, 1, 1]] * 2] * 3
    none = FastVGGTRule(0.5, cells=torch.zeros(0, 2, 3))
    assert none.destinations(TokenLayout(1, 5, 7)).tolist() == list(range(40)), "one frame has no cells"
    assert FastVGGTRule(0.5, no_rand=True).destinations(TokenLayout(2, 2, 2, special=1)).tolist() == [
        *range(6)
    ]


def test_pairs_scored_by_hand():
    """50 tokens: 32 destinations, and of the others 2 of the 5 protected ones may not merge either."""
    rule = FastVGGTRule(0.2, cells=torch.tensor([[[0, 1, 2], [3, 1, 0]]]))
    layout = TokenLayout(2, 4, 6, special=1)
    assert rule.protected(layout).tolist() == [0, 10, 20, 30, 40]
    assert (rule.largest_m(layout), rule.scored_pairs(layout)) == (16 / 50, 16 * 32)


@pytest.mark.parametrize(
    ("share", "step"), [(0.1, 10), (0.25, 4), (0.3, 3), (0.6, 1), (0.01, 160), (0.0, 1), (0.006, 1)]
)
def test_protected_tokens_are_a_fixed_stride_over_the_whole_sequence(share, step):
    layout = TokenLayout(4, 5, 7)  # 160 tokens
    expected = list(range(0, int(160 * share) * step, step))
    assert FastVGGTRule(0.5, protect=share).protected(layout).tolist() == expected


def test_strict_raises_beyond_the_largest_m():
    x, largest = noise(1, LAYOUT.tokens, 16), FastVGGTRule(0.5).largest_m(LAYOUT)
    assert FastVGGTRule(largest, strict=True).plan(x, LAYOUT) is not None
    with pytest.raises(ValueError, match=f"m = 0.9 is out of reach: the largest m .* is {largest:.4f}"):
        FastVGGTRule(0.9, strict=True).plan(x, LAYOUT)


def test_one_frame_has_nothing_to_merge():
    layout = TokenLayout(1, 5, 7)
    rule = FastVGGTRule(0.9)
    assert rule.largest_m(layout) == 0.0
    assert rule.plan(noise(2, layout.tokens, 16), layout) is None


def test_a_protected_destination_has_two_rows_that_share_its_weight():
    rule = FastVGGTRule(0.9, size_bias=True)
    plan = rule.plan(noise(1, LAYOUT.tokens, 16), LAYOUT)
    destinations = rule.destinations(LAYOUT)
    averaged = LAYOUT.tokens - len(rule.protected(LAYOUT))  # more rows than that only through second rows
    assert plan.key_length > averaged - plan.sources.shape[1]
    copies = plan.sizes[0, -len(rule.protected(LAYOUT)) :]
    expected = [0.5 if token in destinations else 1.0 for token in rule.protected(LAYOUT)]
    assert copies.tolist() == expected and 0.5 in expected and 1.0 in expected


def test_numerically_equal_scores_do_not_depend_on_tiles_or_precision_of_norms():
    """A token and its multiple have the same cosine: both similarities must match it to its own copy."""
    rule = FastVGGTRule(0.2)
    destinations = rule.destinations(LAYOUT)
    x = noise(1, LAYOUT.tokens, 16)
    free = [t for t in range(LAYOUT.tokens) if t not in destinations and t not in rule.protected(LAYOUT)]
    x[0, free[:5]] = 7.0 * x[0, destinations[40:45]]
    for similarity in ("bf16", "fp32"):
        plan = FastVGGTRule(0.2, similarity=similarity).plan(x, LAYOUT)
        found = dict(zip(plan.sources[0].tolist(), plan.destinations[0].tolist(), strict=True))
        assert [found[token] for token in free[:5]] == destinations[40:45].tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stride": 0}, "stride must be at least 1, got 0"),
        ({"protect": 1.0}, r"protect must lie in \[0, 1\), got 1.0"),
        ({"similarity": "fp8"}, "similarity must be one of .* got 'fp8'"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        FastVGGTRule(0.5, **arguments)


def test_cells_and_replayed_pairs_are_checked():
    with pytest.raises(ValueError, match=r"cells must be integers in \[0, 4\) of shape \(3, 2, 3\)"):
        FastVGGTRule(0.5, cells=torch.zeros(3, 2, 2)).destinations(LAYOUT)
    with pytest.raises(ValueError, match=r"cells must be integers in \[0, 4\)"):
        FastVGGTRule(0.5, cells=torch.full((3, 2, 3), 4)).destinations(LAYOUT)
    with pytest.raises(ValueError, match="sources hold a token that this rule does not admit"):
        FastVGGTRule(0.5).replay(LAYOUT, torch.tensor([[0]]), torch.tensor([[1]]))


@pytest.mark.parametrize("m", [0.0, 0.001, 0.008, 0.3, 0.6, 0.9])  # 0.008 merges one token
@pytest.mark.parametrize(
    "layout", [TokenLayout(4, 6, 6), TokenLayout(3, 7, 9), TokenLayout(1, 4, 4, special=0)]
)
def test_the_kept_fraction_is_known_before_any_features_are(m, layout):
    rule = FastVGGTRule(m)
    x = torch.randn(1, layout.tokens, 16, generator=torch.Generator().manual_seed(0))
    plan = rule.plan(x, layout)
    assert rule.kept(layout) == (1.0 if plan is None else plan.kept)


@pytest.mark.parametrize("options", [{}, {"protect": 0.0}, {"stride": 3}])
def test_kept_fraction_from_counts_is_that_of_a_plan(options):
    layout = TokenLayout(5, 7, 9)
    features = torch.randn(1, layout.tokens, 8, generator=torch.Generator().manual_seed(0))
    for m in (0.2, 0.5, 0.6, 0.7, 0.9):
        rule = FastVGGTRule(m, **options)
        assert rule.kept(layout) == rule.plan(features, layout).kept
    assert FastVGGTRule(0.0, **options).kept(layout) == 1.0

"""The registry: every rule answers what experiments ask, and a new one needs two files."""

import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from conftest import ROOT

from lib.merging import (
    RULES,
    AdaptiveRule,
    FastVGGTRule,
    KeyValueGridRule,
    RegisteredRule,
    Setting,
    SplitRule,
    TokenLayout,
    UniformRule,
)
from lib.run import Params, merging_rule, prepare, random_config, run
from lib.vggt import VGGT

LAYOUT = TokenLayout(5, 7, 9)
QUICK = Params(model="random", scene="denser:0", frames=3, m=0.3)
FEATURES = torch.randn(1, LAYOUT.tokens, 24, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", RULES)
def test_every_rule_answers_what_experiments_ask(name):
    rule = Setting(name, 0.3, size_bias=True).merging(seed=7)
    assert isinstance(rule, RegisteredRule) and (rule.seed, rule.size_bias) == (7, True)
    assert rule.plan(FEATURES, LAYOUT).kept < 1 and 0 < rule.largest_m(LAYOUT) <= 1
    free = rule.unprotected()
    assert free == Setting(name, 0.3, True, protected=False).merging(7) != rule
    assert free.plan(FEATURES, LAYOUT).kept <= rule.plan(FEATURES, LAYOUT).kept
    assert (rule.scored_pairs(LAYOUT) > 0) == (rule.matching_operations(LAYOUT, 24) > 0) == (name != "grid")


def test_what_a_rule_does_unless_told_otherwise():
    """Records name a rule by its m alone; the released constants are those of FastVGGT."""
    assert FastVGGTRule(0.3) == FastVGGTRule(0.3, 33, 2, 0.1, "bf16", False, False, None, False)
    assert UniformRule(0.3) == UniformRule(0.3, True, True, None, 2, "projected", 64, "fp32", False, True, 33)
    assert KeyValueGridRule(0.3) == KeyValueGridRule(0.3, None, True, True, False, None)
    assert AdaptiveRule(0.3) == AdaptiveRule(0.3, "block", None, True, True, 2, False, True, 33)
    assert SplitRule(0.3) == SplitRule(0.3, None, 20, True, False, 33)


def test_one_rule_follows_the_tokens_and_one_saturates():
    assert [name for name, rule in RULES.items() if rule.adaptive] == ["adaptive"]
    assert [name for name, rule in RULES.items() if rule.saturates] == ["fastvggt"]


def test_unprotected_rules_spare_neither_the_first_frame_nor_special_tokens():
    for rule in (UniformRule(0.3).unprotected(), AdaptiveRule(0.3).unprotected()):
        assert (rule.protect_first_frame, rule.protect_special) == (False, False)
    grid = KeyValueGridRule(0.3).unprotected()
    assert (grid.keep_first_frame, grid.keep_special) == (False, False)


def test_a_setting_without_words_is_plain():
    assert Setting() == Setting("fastvggt", 0.0, size_bias=False, protected=True)


def test_a_split_rule_sends_its_queries_where_its_query_rule_says():
    layout = TokenLayout(frames=4, patches_high=4, patches_wide=4, special=2)
    x = torch.randn(1, layout.tokens, 8, generator=torch.Generator().manual_seed(0))
    rule = RULES["split"](0.5)
    plan, queries = rule.plan(x, layout), rule.for_queries.plan(x, layout)
    assert plan is not None and queries is not None and queries.destinations is not None
    assert torch.equal(plan.sources, queries.sources)
    assert torch.equal(plan.destinations, queries.destinations)


@pytest.mark.parametrize(
    "text",
    ["uniform", "uniform 1.0", "uniform 0", "tome 0.5", "uniform half", "grid 0.5 weighted"],
)
def test_bad_settings_are_named(text):
    with pytest.raises(ValueError, match=f"setting {text!r}"):
        Setting.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "uniform 0.97 unprotected",
        "grid 0.5 biased",
        "fastvggt 0.123456789",
        "split 0.5 biased unprotected",
    ],
)
def test_settings_are_written_as_they_are_read(text):
    assert Setting.parse(text).name == text
    assert Setting.parse(Setting.parse(text).name) == Setting.parse(text)


def test_without_merging_the_rule_has_no_name():
    assert Setting("uniform", 0.0, size_bias=True).name == "plain"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "adaptive")) for name in RULES]
)
def test_every_rule_runs_by_name(name):
    outcome = run(prepare(replace(QUICK, rule=name)))
    assert outcome.kept < 1 and outcome.setup.rule == merging_rule(replace(QUICK, rule=name))


def test_m_of_an_adaptive_rule_is_its_tolerance():
    assert merging_rule(replace(QUICK, rule="adaptive", m=0.02)) == AdaptiveRule(0.02)
    assert merging_rule(replace(QUICK, rule="adaptive", m=0.0)) is None
    with pytest.raises(ValueError, match=r"m, the tolerance of this rule, must lie in \[0, 1\), got 2"):
        replace(QUICK, rule="adaptive", m=2.0)


def test_scores_are_counted_with_protections_and_groups():
    rule = UniformRule(0.4, region=5, matching="features")
    pairs = {"all": rule.scored_pairs(LAYOUT), "free": rule.unprotected().scored_pairs(LAYOUT)}
    free = 4 * 63  # frame 0 and special tokens are protected
    assert pairs["all"] == (free - 63) * 63  # one free token in four is a destination
    assert pairs["free"] == (LAYOUT.tokens - 85) * 85
    assert UniformRule(0.4, matching="position").scored_pairs(LAYOUT) == 0
    assert UniformRule(0.4).scored_pairs(LAYOUT) == pairs["all"], "one group"
    assert UniformRule(0.4, stride=3).scored_pairs(LAYOUT) == (free - 28) * 28
    assert UniformRule(0.9).unprotected().scored_pairs(LAYOUT) == 306 * 34, "of 340 tokens 34 stay"
    assert UniformRule(0.4, region=2).scored_pairs(LAYOUT) == (free - 63) * 63 / 3


def test_operations_of_matching_by_hand():
    """Two for each product: of the scores in all channels, or in the projected ones and of the projection."""
    rule = UniformRule(0.4, metric_width=16)
    pairs, tokens = rule.scored_pairs(LAYOUT), LAYOUT.tokens
    assert rule.matching_operations(LAYOUT, 12) == rule.matching_operations(LAYOUT, 16) * 12 / 16
    assert rule.matching_operations(LAYOUT, 16) == 2 * 16 * pairs
    assert rule.matching_operations(LAYOUT, 40) == 2 * 16 * pairs + 2 * tokens * 40 * 16
    assert replace(rule, matching="features").matching_operations(LAYOUT, 40) == 2 * 40 * pairs


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if not rule.adaptive])
@pytest.mark.parametrize("m", [0.0, 0.3, 0.6])
def test_what_remains_is_known_before_the_features(name, m):
    rule = RULES[name](m, seed=3)
    plan = rule.plan(torch.randn(1, LAYOUT.tokens, 24), LAYOUT)
    kept, pairs = (1.0, LAYOUT.tokens**2) if plan is None else (plan.kept, plan.pairs)
    assert rule.kept(LAYOUT) == pytest.approx(kept, rel=1e-12)
    assert rule.kept_pairs(LAYOUT) == pytest.approx(pairs / LAYOUT.tokens**2, rel=1e-12)


def test_what_remains_at_the_largest_m_and_none_beyond_it():
    largest = UniformRule(0.1).largest_m(LAYOUT)
    assert largest == 251 / 340
    assert UniformRule(largest).kept(LAYOUT) == pytest.approx(1 - largest)
    with pytest.raises(ValueError, match=r"m = 0\.8 is out of reach here; the largest is 0\.738"):
        UniformRule(0.8).kept(LAYOUT)


def test_what_remains_where_only_keys_merge_or_features_decide():
    assert UniformRule(0.3, merge_queries=False).kept_pairs(LAYOUT) == UniformRule(0.3).kept(LAYOUT)
    with pytest.raises(ValueError, match="AdaptiveRule keeps is known only once"):
        AdaptiveRule(0.1).kept_pairs(LAYOUT)


RULE = '''
from dataclasses import dataclass, replace

import torch

from .plan import Grouping, Plan, RegisteredRule


@dataclass(frozen=True)
class NeighbourRule(RegisteredRule):
    """Keys 2i and 2i + 1 merge, whatever m."""

    m: float
    seed: int = 33
    size_bias: bool = False

    def largest_m(self, layout):
        return 0.5

    def unprotected(self):
        return self

    def scored_pairs(self, layout):
        return 0.0

    def plan(self, x, layout):
        rows = (torch.arange(layout.tokens) // 2).expand(len(x), -1)
        grouping = Grouping.from_rows(rows, (layout.tokens + 1) // 2)
        sizes = torch.stack([torch.bincount(r) for r in rows]).double()
        return Plan(layout.tokens, grouping, sizes, size_bias=self.size_bias)
'''
RUN = """
from lib.run import Params, prepare, run
outcome = run(prepare(Params(model="random", scene="denser:0", frames=2, rule="neighbours")))
print(outcome.kept, outcome.measurements["kept"])
"""


@pytest.mark.slow
def test_a_new_rule_needs_its_own_file_and_the_registry(tmp_path):
    shutil.copytree(ROOT / "lib", tmp_path / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "lib/merging/neighbours.py").write_text(RULE)
    registry = tmp_path / "lib/merging/registry.py"
    text = registry.read_text().replace(
        "from .plan import", "from .neighbours import NeighbourRule\nfrom .plan import"
    )
    registry.write_text(text.replace('    "adaptive"', '    "neighbours": NeighbourRule,\n    "adaptive"'))
    found = subprocess.run([sys.executable, "-c", RUN], cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert 0.5 <= float(found.stdout.split()[0]) < 0.51


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_every_rule_runs_under_half_precision_autocast(rule, dtype):
    model, images = VGGT.from_seed(random_config(), 0).eval(), torch.rand(2, 3, 70, 70)
    with torch.inference_mode(), torch.autocast("cpu", dtype=dtype):
        merged = model(images, merging=Setting(rule, 0.2).merging(0))
    assert all(value.isfinite().all() for value in (merged.depth, merged.extrinsics))

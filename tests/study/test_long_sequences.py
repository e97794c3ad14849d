"""Long sequences: arms on a tiny random network, the law of dilution against attention itself, statistics."""

import math
import shutil
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from book.study.anchored import Anchored
from book.study.intervals import Interval, mean_ratio
from book.study.long_sequences import draw, law, outcome
from book.study.long_sequences.arms import ARMS, OVERLAP, Arm, Result, _append, chunk_bounds, run_arm
from book.study.long_sequences.between import FrameBias, Split, bias_between
from book.study.long_sequences.measure import ERRORS, errors, geometry, measure, trained_frames
from book.study.long_sequences.shares import Shares, draw_queries, group_masks, matching_tokens
from lib.geometry import invert
from lib.merging import FastVGGTRule
from lib.run import ROOT, Params, prepare, run
from lib.vggt import FixedScale


@pytest.fixture(scope="module")
def setup():
    return prepare(Params(model="random", scene="denser:3", frames=6, m=0.0, seed=1))


def read(setup, factors=(1.0,), **arguments):
    queries = draw_queries(setup.layout, 8, 0)
    masks = group_masks(setup.layout, queries, matching_tokens(setup.sequence, setup.layout, queries))
    probe = Shares(queries, masks, factors)
    run(replace(setup, **arguments), probe)
    return probe.table()


class Keeper:
    def __init__(self):
        self.events = []

    def observe(self, event):
        if event.kind == "global":
            self.events.append(event)


@pytest.mark.slow
def test_shares_are_row_sums_of_attention(setup):
    keeper, queries = Keeper(), draw_queries(setup.layout, 8, 0)
    run(setup, keeper)
    masks = group_masks(setup.layout, queries, matching_tokens(setup.sequence, setup.layout, queries))
    event = keeper.events[1]
    rows = (event.scale * event.q[0][:, queries] @ event.k[0].mT).softmax(-1)
    expected = torch.einsum("hqk,kqg->hqg", rows, masks)
    np.testing.assert_allclose(law.shares(read(setup)[1, 0]), expected.numpy(), atol=1e-5)
    assert (masks.sum(-1) == 1).all()


def test_a_patch_shows_its_own_surface(setup):
    queries = draw_queries(setup.layout, 8, 0)
    matches = matching_tokens(setup.sequence, setup.layout, queries)
    assert matches[torch.arange(8), queries[:8]].all()  # every patch
    assert not matches[8:].any()  # no camera token


def odds(table):
    shares = law.shares(table)[0, 0]  # first block: activations are those of the unmerged run
    return shares[..., 0] / (1 - shares[..., 0])


def test_an_anchored_pass_multiplies_the_odds_of_frame_0_by_the_growth(setup):
    growth = (6 - 1) / (3 - 1)
    np.testing.assert_allclose(odds(read(setup, rule=Anchored(3))), growth * odds(read(setup)), rtol=1e-4)
    assert Anchored(8).plan(torch.zeros(1, setup.layout.tokens, 4), setup.layout) is None


def test_anchoring_composes_with_merging(setup):
    merged, both = (read(setup, rule=r) for r in (FastVGGTRule(0.5), Anchored(3, FastVGGTRule(0.5))))
    gain = odds(both) / odds(merged)  # a destination in frame 0 has a second row, shared with other frames
    assert (gain > 1.5).all() and (gain < 2.5 + 1e-4).all()


@pytest.mark.slow
def test_a_bias_between_frames_is_the_rule_by_other_means(setup):
    with FrameBias(bias_between(6, first=math.log(2.5)), setup.layout.tokens_per_frame):
        biased = run(setup).prediction.pose_enc
    ruled = run(replace(setup, rule=Anchored(3))).prediction.pose_enc
    torch.testing.assert_close(biased, ruled, atol=1e-5, rtol=1e-4)
    with FrameBias(bias_between(6, first=1.0), setup.layout.tokens_per_frame, layers=()):
        assert torch.equal(run(setup).prediction.pose_enc, run(setup).prediction.pose_enc)
    alone = bias_between(4, own=2.0)
    assert alone.tolist() == [[0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 2]]


def test_a_factor_is_read_from_the_same_activations(setup):
    scaled = read(replace(setup, params=replace(setup.params, logit_scale="1.5")))
    np.testing.assert_allclose(read(setup, factors=(1.0, 1.5))[0, 1], scaled[0, 0], atol=1e-4)
    assert FixedScale(1.5).factor(0, setup.layout) == 1.5


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in ARMS if "block" not in n])
def test_every_arm_runs(setup, name):
    arm = replace(ARMS[name], m=min(ARMS[name].m, 0.5))  # so much is in reach with six frames
    result = run_arm(setup, arm, trained=3, added=2)
    kept = 6 if ARMS[name].keep == 1 else math.ceil(6 / ARMS[name].keep)
    assert len(result.frames) == len(result.extrinsics) == len(result.depth) == kept
    found = errors(setup.sequence, result)
    assert all(math.isfinite(v) for v in found.values()) and found["pairs"] > 0


def test_the_truth_has_no_error_and_the_middle_frame_moves_nothing(setup):
    s = setup.sequence
    truth = Result(s.extrinsics.double(), s.depth.double(), list(range(6)), 1, 0.0)
    found = errors(s, truth)
    assert found["rotation"] < 1e-3 and found["ate"] < 1e-5 and found["abs_rel"] < 1e-5
    middle = run_arm(setup, Arm(middle=True), 3)
    again = run(replace(setup, sequence=s.take([3, 0, 1, 2, 4, 5]))).prediction.extrinsics[0]
    torch.testing.assert_close(middle.extrinsics[[3, 0]], again[[0, 1]].double())


def test_chunks_cover_and_join(setup):
    assert chunk_bounds(20, 8) == [(0, 8), (4, 12), (8, 16), (12, 20)]
    assert chunk_bounds(5, 8) == [(0, 5)] and chunk_bounds(9, 8)[-1] == (4, 9)
    s = setup.sequence
    other = torch.eye(4, dtype=torch.float64)
    other[:3, 3] = torch.tensor([1.0, -2.0, 0.5])
    frames = [list(range(5)), list(range(1, 6))]
    assert len(set(frames[0]) & set(frames[1])) == OVERLAP
    cameras = (s.extrinsics.double(), s.extrinsics.double().clone())
    cameras[1][:, :, 3] *= 2  # another unit of length
    moved = (torch.cat([cameras[1], torch.tensor([[[0.0, 0, 0, 1]]]).double().expand(6, -1, -1)], 1) @ other)[
        :, :3
    ]
    whole = Result(cameras[0][:5], s.depth[:5].double(), frames[0], 1, 0.0)
    part = Result(moved[1:], 2 * s.depth[1:].double(), frames[1], 1, 0.0)
    joined = _append(whole, part, s)
    torch.testing.assert_close(joined.extrinsics, cameras[0], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(joined.depth, s.depth.double())
    assert joined.frames == list(range(6)) and invert(joined.extrinsics).isfinite().all()


@pytest.mark.slow
def test_measure_pairs_arms_room_by_room():
    table = measure(
        Params(model="random", scene="denser:0-1", frames=4, m=0.0), ["anchored", "half"], trained=2
    )
    assert table.arms == ["plain", "anchored", "half"] and table.errors["rotation"].shape == (3, 2)
    assert table.log_sums.shape[:3] == (2, 4, 1) and np.isnan(table.mass[2]).all()
    np.testing.assert_allclose(table.mass[:2].sum(-1), 1, atol=1e-5)
    with pytest.raises(ValueError, match="warmer"):
        measure(Params(model="random"), ["warmer"])
    with pytest.raises(ValueError, match="trained"):
        trained_frames("random", 0)
    assert trained_frames("mini", 0) == 12 and trained_frames("mini", 5) == 5


@pytest.mark.slow
def test_a_path_is_a_model_too(tmp_path):
    for suffix in (".safetensors", ".json"):
        shutil.copy(ROOT / "data/weights" / f"trained-to-4{suffix}", tmp_path / f"new{suffix}")
    table = measure(
        Params(model=str(tmp_path / "new.safetensors"), scene="denser:0", frames=5, m=0.0), ["anchored"]
    )
    named = measure(Params(model="trained-to-4", scene="denser:0", frames=5, m=0.0), ["anchored"])
    np.testing.assert_array_equal(table.errors["rotation"], named.errors["rotation"])
    assert table.errors["rotation"][0, 0] != table.errors["rotation"][1, 0]  # 5 is more than 4


def test_the_law_is_the_softmax_of_more_keys():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(10, 3))  # frames, tokens of one query
    sums = np.log([np.exp(logits[0]).sum(), np.exp(logits[1]).sum(), 1e-30, np.exp(logits[2:]).sum()])
    more = np.exp(np.concatenate([logits[:2], np.tile(logits[2:], (5, 1))]))  # 42 frames
    np.testing.assert_allclose(law.diluted(sums, 42, 10)[0], more[0].sum() / more.sum())
    np.testing.assert_allclose(law.diluted(sums, 42, 10, kept=0.2), law.shares(sums))
    b = 2.0
    assert law.reference_share(b, 1) == 1
    f = law.keeping_factor(100, 8, b)
    assert law.reference_share(f * b, 100) == pytest.approx(law.reference_share(b, 8))
    assert law.reference_share(b + law.keeping_bias(100, 8), 100) == pytest.approx(law.reference_share(b, 8))


@pytest.mark.slow
@pytest.mark.parametrize("rooms, level", [(8, 0.85), (12, 0.89), (24, 0.89)])
def test_intervals_hold_their_level(rooms, level):
    rng, hits, times = np.random.default_rng(0), np.zeros(2), 200
    for _ in range(times):
        room = rng.lognormal(1, 0.7, rooms)
        new, old = room * rng.lognormal(-0.3, 0.4, rooms), room * rng.lognormal(0, 0.4, rooms)
        ratio, share = mean_ratio(new, old), outcome.share_better(new, old)
        true_share = 0.5 * math.erfc(-0.3 / math.hypot(0.4, 0.4) / 2**0.5)
        hits += [ratio.low < math.exp(-0.3) < ratio.high, share.low < true_share < share.high]
    assert (hits / times > level).all()  # 95 % less four standard errors of 200 times; less with 8 rooms


def test_a_ratio_of_pairs_is_surer_than_one_of_strangers():
    rng = np.random.default_rng(0)
    room = rng.lognormal(1, 1, 24)
    new, old = 0.5 * room * rng.lognormal(0, 0.1, 24), room
    pairs, strangers = mean_ratio(new, old), mean_ratio(new, old[::-1], paired=False)
    assert pairs.median == pytest.approx(strangers.median) == pytest.approx(new.mean() / old.mean())
    assert 0.4 < pairs.low < pairs.high < 0.6 and strangers.low < 0.4
    few = mean_ratio(new[:5], old[:5])
    assert few.median == pytest.approx(new[:5].mean() / old[:5].mean()) and (few.low, few.high) == (
        0,
        math.inf,
    )
    same = mean_ratio(old, old)
    assert (same.low, same.median, same.high) == (1, 1, 1)


def test_words_follow_numbers():
    assert outcome.word({"below": 0.6}, 0.5) == "kept" and outcome.word({"above": 0.6}, 0.5) == "refuted"
    assert outcome.word({"below": 0.6}, None) == "open"
    for one in outcome.DECLARED["predictions"].values():
        asked = outcome.DECLARED["runs"][one["in"]]
        there = outcome.DECLARED["runs"].get(one.get("than"), asked)
        assert {one.get("arm", "plain"), one.get("than", "plain")} <= {
            "plain",
            one.get("than"),
            *asked["arms"],
        }
        assert there is not asked or one.get("than", "plain") in ["plain", *asked["arms"]]
        assert set(asked["arms"]) <= set(ARMS) and {one.get("error"), one.get("than_error")} <= {
            None,
            *ERRORS,
        }
        assert outcome.measured(one, {}) is None
    assert sum(len(batch["predictions"]) for batch in outcome.BATCHES) == len(outcome.DECLARED["predictions"])
    assert sum(len(batch["runs"]) for batch in outcome.BATCHES) == len(outcome.DECLARED["runs"])


def test_an_outcome_is_sure_where_the_whole_interval_says_it():
    one = {"above": 0.5, "below": 1.0}
    assert outcome.sure(one, Interval(0.8, 0.6, 0.9)) and outcome.sure(one, Interval(1.2, 1.1, 1.3))
    assert not outcome.sure(one, Interval(0.8, 0.4, 0.9)) and not outcome.sure(one, None)
    assert not outcome.sure(one, Interval(0.8, 0.4, 1.1))  # both ends outside, the number inside
    assert outcome.sure(one, 0.7)


class Found:
    """A record as `outcome.Run` reads it."""

    def __init__(self, **errors):
        self.record = self
        self.params = {"frames": 128}
        rooms = [f"denser:{n}" for n in range(len(errors["rotation"][0]))]
        self.all = {"arms": ["plain", "anchored"], "scenes": rooms}
        self.all |= {f"errors.{name}": np.array(rows, float) for name, rows in errors.items()}

    def __getitem__(self, name):
        return self.all[name]


@pytest.fixture
def half_run():
    rng = np.random.default_rng(0)
    plain = rng.lognormal(2.5, 0.5, 12)
    return outcome.Run("x", (Found(rotation=[plain, plain / 2], rotation_pairs=[plain / 4, plain / 8]),))


def test_quantities_name_arm_error_and_run(half_run):
    one = {"in": "x", "arm": "anchored", "than": "plain", "quantity": "mean_ratio"}
    assert outcome.measured(one, {"x": half_run}).median == pytest.approx(0.5)
    loose = one | {"arm": "plain", "error": "rotation_pairs", "than_error": "rotation"}
    assert outcome.measured(loose, {"x": half_run}).median == pytest.approx(0.25)
    assert outcome.measured(one | {"quantity": "better"}, {"x": half_run}).median == 1
    with pytest.raises(KeyError, match=r"errors\.ate"):
        outcome.measured(one | {"error": "ate"}, {"x": half_run})


def test_figures_show_each_room_and_the_ratio_of_means(half_run):
    figure = draw.effects({"here": half_run, "again": half_run}, ["anchored"])
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    diamonds = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "D"]
    assert [len(line.get_xdata()) for line in dots] == [12, 12] and diamonds == pytest.approx([0.5, 0.5])
    single = draw.causes(half_run, {"with a bias": "anchored"})
    assert [label.get_text() for label in single.axes[0].get_yticklabels()] == ["with a bias"]
    assert len(draw.line_per_room({"one": (half_run, ["plain", "anchored"])}).axes[0].lines) >= 12
    plt.close("all")


def split_pass(setup, share, pattern):
    layout = setup.layout
    with Split(layout.frames, layout.tokens_per_frame, share, pattern):
        return run(setup).prediction.pose_enc


@pytest.mark.slow
def test_share_and_pattern_together_are_the_factor(setup):
    close = {"atol": 1e-5, "rtol": 1e-4}
    plain = run(setup).prediction.pose_enc
    factor = run(replace(setup, params=replace(setup.params, logit_scale="1.5"))).prediction.pose_enc
    torch.testing.assert_close(split_pass(setup, 1.0, 1.0), plain, **close)
    torch.testing.assert_close(split_pass(setup, 1.5, 1.5), factor, **close)
    share, pattern = split_pass(setup, 1.5, 1.0), split_pass(setup, 1.0, 1.5)
    for one in (share, pattern):
        assert min(float((one - other).abs().max()) for other in (plain, factor)) > 1e-4


def test_split_keeps_the_share_of_frame_0(setup):
    layout, keeper = setup.layout, Keeper()
    run(setup, keeper)
    q, k = keeper.events[0].q, keeper.events[0].k
    values = torch.zeros_like(q)
    values[..., : layout.tokens_per_frame, 0] = 1.0
    attend = torch.nn.functional.scaled_dot_product_attention
    shares = [attend(q, k, values, scale=s)[..., 0] for s in (0.1, 0.2)]
    with Split(layout.frames, layout.tokens_per_frame, 2.0, 1.0):
        torch.testing.assert_close(attend(q, k, values, scale=0.1)[..., 0], shares[1])
    with Split(layout.frames, layout.tokens_per_frame, 1.0, 2.0):
        torch.testing.assert_close(attend(q, k, values, scale=0.1)[..., 0], shares[0])


def test_a_bias_for_some_queries_only(setup):
    tokens, special = setup.layout.tokens_per_frame, setup.layout.special
    masks = {
        queries: FrameBias(bias_between(6, first=1.0), tokens, None, queries, special).mask
        for queries in ("all", "special", "patches")
    }
    torch.testing.assert_close(masks["special"] + masks["patches"], masks["all"])
    assert masks["special"][:special, :tokens].eq(1).all() and not masks["special"][special:tokens].any()


def test_the_scale_acts_in_the_layers_of_its_arm():
    assert ARMS["scaled, blocks 2 3"].length_scale(4) == "length 4 in 2 3"
    assert ARMS["scaled"].length_scale(4) == "length 4"
    both = ARMS["scaled, blocks 2 3"].layers + ARMS["scaled, other blocks"].layers
    assert sorted(both) == list(range(6))


@pytest.mark.slow
def test_all_are_judged_on_every_fourth_frame(setup):
    nine = prepare(Params(model="random", scene="denser:3", frames=9, m=0.0, seed=1))
    every = run_arm(nine, Arm(), trained=3)
    found = errors(nine.sequence, every)
    alone = geometry(
        nine.sequence,
        replace(every, extrinsics=every.extrinsics[::4], depth=every.depth[::4], frames=[0, 4, 8]),
    )
    assert alone == {name: found[f"{name}_fourth"] for name in alone}
    assert set(ERRORS) == set(found) and found["rotation"] != found["rotation_fourth"]
    turned = replace(every, extrinsics=nine.sequence.extrinsics.double().clone())
    turned.extrinsics[0, :, :3] = (
        -turned.extrinsics[0, :, :3].clone() @ torch.diag(torch.tensor([1.0, 1, -1])).double()
    )
    wrong = geometry(nine.sequence, turned)
    assert wrong["rotation"] > 90 > 1e-3 > wrong["rotation_pairs"]  # frame 0 alone is wrong

"""The second round: what is declared is measured, on small networks and by hand."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from small_models import tiny_vggt

from book.study.anchored import Anchored
from book.study.predictions import draw, entry, equal_size, heads, second, sink
from book.study.predictions.declared import RUNS, SECOND
from book.study.predictions.measure import measurements
from lib.merging import FastVGGTRule, TokenLayout
from lib.run import Params, forward

PARAMS = Params(model="random", scene="denser:0-1", frames=8, m=0.3)


def rule(m, seed, bias):
    return FastVGGTRule(m, size_bias=bias, seed=seed)


def images(frames, seed=0):
    return torch.rand(frames, 3, 24, 24, generator=torch.Generator().manual_seed(seed))


def test_every_declared_quantity_has_a_function_and_a_run():
    assert {p.quantity for p in SECOND} == set(second.QUANTITIES)
    assert {p.run for p in SECOND} <= set(RUNS)
    assert len({p.id for p in SECOND}) == len(SECOND)


@pytest.mark.slow
def test_all_is_measured():
    found = measurements(second.measure(replace(PARAMS, scene="denser:0"), 0), 0, 3, second.EVERY)
    missing = {name for name in second.QUANTITIES if found[name][0] is None}
    assert missing == {"late_slope_law", "late_slope_uniform", "turn_ratio"}  # four blocks; a long run


@pytest.mark.slow
def test_a_long_run_measures_the_share_alone():
    arrays = second.measure(PARAMS, 16)
    found = measurements(arrays, 0, 3, second.EVERY)
    decided = {name for name in second.EVERY if found[name][0] is not None}
    assert decided == {"sink_error", "sink_restored", "sink_strongest", "sink_diluted", "turn_ratio"}
    with pytest.raises(ValueError, match="multiple of 8"):
        second.measure(PARAMS, 12)


def test_the_weighted_reference_is_its_tokens_repeated():
    model = tiny_vggt()
    events = []

    class Keep:
        def observe(self, event):
            if event.kind == "global":
                events.append(event)

    for used in (None, Anchored(5 / 3)):
        forward(model, images(3), used, Keep(), heads=())
    plain, weighted = events[0], events[len(events) // 2]
    first = plain.layout.tokens_per_frame
    k, v = (torch.cat([t[:, :, :first]] * 2 + [t], dim=2) for t in (plain.k, plain.v))
    block = model.aggregator.global_blocks[0]
    with torch.inference_mode():
        repeated = block.ls1(block.attn._finish(plain.q, k, v, None, plain.scale))
    torch.testing.assert_close(weighted.update, repeated)


def test_shares_of_the_reference_in_a_run():
    model = tiny_vggt()
    layout = TokenLayout(16, 3, 3, 5)
    probe = sink.Share([0, 8])
    forward(model, images(16), probe=probe, heads=())
    assert probe.weights == [1 / 16] * len(probe.weights)
    assert probe.shares[0].shape[1] == 2 * model.config.layout(16, 24, 24).tokens_per_frame
    x = torch.randn(1, layout.tokens, 6, generator=torch.Generator().manual_seed(1))
    for bias in (False, True):
        plan = FastVGGTRule(0.4, size_bias=bias, seed=1).plan(x, layout)
        held, weight = sink.reference_rows(plan, layout)
        ends = [*plan.keys.offsets[0].tolist()[1:], len(plan.keys.members[0])]
        rows = [plan.keys.members[0][a:b] for a, b in zip(plan.keys.offsets[0], ends, strict=True)]
        assert held.tolist() == [bool((row < layout.tokens_per_frame).any()) for row in rows]
        expected = plan.sizes[0, held].sum() / layout.tokens if bias else held.sum() / plan.key_length
        assert weight == pytest.approx(float(expected))
    everything = sink.Share(range(16))
    forward(model, images(16), FastVGGTRule(0.4), everything, heads=())
    assert everything.shares[0].min() > 0 and everything.shares[0].max() < 1
    with pytest.raises(ValueError, match="multiple of 8"):
        sink.matched(12)


def test_reweighted_attention_is_attention_of_repeated_keys():
    q, k, v = (torch.randn(6, 4, generator=torch.Generator().manual_seed(s)) for s in range(3))
    counts = torch.tensor([1, 2, 1, 1, 3, 1])
    again = torch.repeat_interleave(torch.arange(6), counts)
    full = torch.softmax(q @ k[again].T, -1) @ v[again] - torch.softmax(q @ k.T, -1) @ v
    torch.testing.assert_close(heads.reweighted(q, k, v, counts / counts.sum(), 1.0), full)


def test_uniform_attention_is_what_zero_queries_give():
    model = tiny_vggt()
    probe, rows = [], heads.Odds(model)
    with torch.no_grad():
        for block in model.aggregator.global_blocks:
            block.attn.q_norm.weight.zero_()
            block.attn.q_norm.bias.zero_()

    class Keep:
        def observe(self, event):
            rows.observe(event)
            if event.kind == "global":
                probe.append(event)

    forward(model, images(3), probe=Keep(), heads=())
    with torch.inference_mode():
        torch.testing.assert_close(heads.uniform_update(model, probe[0]), probe[0].update)
    found = np.array(rows.rows)
    np.testing.assert_allclose(found[1::2, 1], found[1::2, 2], atol=1e-6)  # global: measured and uniform
    np.testing.assert_allclose(found[1:, 0], found[:-1, [0, 1, 5]].sum(1), atol=1e-5)  # a budget


def test_cases_clear_of_the_draws():
    rows = np.zeros((2, 3, 5))
    rows[0, :, 0] = [1.0, 1.1, 0.9]
    rows[1, :, 0] = [1.0, -2.0, 1.5]
    assert heads.clear_cases(rows)[:, 0] == pytest.approx([1.0])
    assert heads.signs_right([1.0, -1.0], np.array([2.0, 3.0])) == 0.5


def test_the_frame_part_where_frame_zero_is_apart():
    means = torch.zeros(6, 3, dtype=torch.float64)
    means[0, 0] = 1.0
    assert entry.frame_part_at(means, 6) == pytest.approx(entry.frame_part(means))
    longer = torch.cat([means, torch.zeros(6, 3, dtype=torch.float64)])
    assert entry.frame_part_at(means, 12) == pytest.approx(entry.frame_part(longer))
    varied = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert entry.frame_part_at(varied, 6) == pytest.approx(entry.frame_part(varied))


def test_both_orders_agree_where_the_first_block_is_merged():
    found = equal_size.both_orders(tiny_vggt(), images(4), rule, 0.3, 1)["split.ranks"]
    plain, static, moved, merged = found[:, 0].T
    np.testing.assert_allclose(moved, plain, rtol=1e-6)  # its tokens are those of the unmerged run
    np.testing.assert_allclose(merged, static, rtol=1e-6)
    assert not np.allclose(found[:, 1, 2], found[:, 1, 0], rtol=1e-6)


def test_late_slopes_follow_their_budget():
    rows = np.zeros((1, 12, 7))
    rows[0, :, 1] = rows[0, :, 3] = 0.3
    rows[0, :, 5] = 0.1
    rows[0, :, 0] = 0.4 * np.arange(12)
    measured, law, uniform, unsigned = second.late_slopes({"odds": rows})
    assert law == pytest.approx(measured) and unsigned == pytest.approx(0) and measured < uniform < 0


def test_the_scoreboard_marks_each_prediction_where_its_run_exists():
    """A record is asked for a value and its interval; the runs that decide are "main" and another."""
    first, second, third = SECOND[0], next(p for p in SECOND if p.run != "main"), SECOND[1]
    inside = {p.quantity: 0.5 * (max(p.above, -9.0) + min(p.below, 9.0)) for p in (first, second, third)} | {
        f"{p.quantity}.interval": None for p in (first, second, third)
    }
    wide = inside | {f"{first.quantity}.interval": (-1e9, 1e9), third.quantity: None}
    columns = {"kept": {"main": inside, second.run: inside}, "unsure": {"main": wide}}
    figure = draw.scoreboard(columns, (first, second, third))
    marks = [(text.get_position(), text.get_text()) for text in figure.axes[0].texts]
    assert marks == [((0, 0), "✓"), ((1, 0), "✓"), ((2, 0), "✓"), ((0, 1), "✓")]
    squares = [line for line in figure.axes[0].lines if line.get_marker() == "s" and len(line.get_xdata())]
    sure, unsure = (draw.SQUARES[word] for word in ("as predicted", "as predicted, not clearly"))
    assert squares[0].get_color() == sure["color"] and squares[3].get_markerfacecolor() == unsure["mfc"]
    failing = inside | {first.quantity: first.below + 1.0 if first.below < 1e9 else first.above - 1.0}
    board = draw.scoreboard({"failed": {"main": failing}}, (first,))
    assert [text.get_text() for text in board.axes[0].texts] == ["✗"]
    plt.close("all")

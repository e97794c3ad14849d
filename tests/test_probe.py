"""The probe: changes nothing, agrees with the matrices, works with every merging rule, keeps no matrix."""

import gc
import math
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_models import tiny_vggt

from lib.merging import FastVGGTRule, KeyValueGridRule, TokenLayout, UniformRule
from lib.probe import Probe, Sample, alignment, as_arrays, attention_operators, token_statistics
from lib.spectra import Budget, Measures
from lib.vggt import AttentionEvent

FRAMES, TOKENS = 6, 240  # 5 special tokens and 5 x 7 patches a frame
RULES = [
    *(None, FastVGGTRule(0.5)),
    pytest.param(UniformRule(0.5, size_bias=True), marks=pytest.mark.slow),
    pytest.param(KeyValueGridRule(0.5, size_bias=True), marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def model():
    return tiny_vggt()


@pytest.fixture(scope="module")
def images():
    return torch.rand(FRAMES, 3, 40, 56, generator=torch.Generator().manual_seed(0))


class Recorder:
    """Keeps whole events: what a probe must not do, and the reference for what it says."""

    def __init__(self):
        self.events = []

    def observe(self, event):
        self.events.append(event)


def dense_attention(event, head):
    """A on all N tokens, from the event alone."""
    q, k = event.q[0, head].double(), event.k[0, head].double()
    logits = event.scale * q @ k.T
    if event.plan is None:
        return logits.softmax(-1)
    if event.plan.log_sizes is not None:
        logits = logits + event.plan.log_sizes[0]
    averages = event.plan.merge_keys(torch.eye(event.x.shape[1], dtype=torch.float64)[None, None])[0, 0]
    return event.plan.unmerge((logits.softmax(-1) @ averages)[None])[0]


def forward(model, images, probe=None, rule=None):
    with torch.inference_mode():
        return model(images, merging=rule, probe=probe)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: type(r).__name__)
def test_forward_is_bitwise_the_same_with_a_probe(model, images, rule):
    probe = Probe(kinds=("global", "frame"), bracket=Budget(), merged=True, queries=(3,))
    state = torch.random.get_rng_state()
    plain, seen = forward(model, images, rule=rule), forward(model, images, probe, rule)
    for name in ("pose_enc", "depth", "depth_conf", "world_points", "world_points_conf"):
        assert torch.equal(getattr(plain, name), getattr(seen, name)), name
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [(r.kind, r.layer) for r in probe.readings] == [
        (kind, layer) for layer in range(3) for kind in ("frame", "global")
    ]


@pytest.mark.parametrize("rule", RULES, ids=lambda r: type(r).__name__)
def test_numbers_are_those_of_the_matrix(model, images, rule):
    recorder, probe = Recorder(), Probe(queries=(0, 77), bracket=Budget())
    forward(model, images, recorder, rule)
    forward(model, images, probe, rule)
    events = [e for e in recorder.events if e.kind == "global"]
    assert len(events) == len(probe.readings) == 3
    for event, reading in zip(events, probe.readings, strict=True):
        assert reading.kept == (1.0 if event.plan is None else event.plan.kept)
        for head in reading.heads:
            a = dense_attention(event, head.head)
            exact = Measures.of(torch.linalg.svdvals(a))
            assert head.scalars.stable_rank == pytest.approx(exact.stable_rank, rel=1e-4)
            assert head.scalars.frobenius == pytest.approx(exact.frobenius, rel=1e-5)
            assert head.alignment.self_mass == pytest.approx(float(a.trace()) / TOKENS, rel=1e-5)
            assert head.bracket.lower - 1e-4 <= exact.entropy <= head.bracket.upper + 1e-4
            assert torch.allclose(head.heatmaps.double(), a[[0, 77]], atol=1e-6)
            pooled = a.view(FRAMES, 40, FRAMES, 40).sum(3).mean(1)
            assert head.own_frame_mass == pytest.approx(float(pooled.diagonal().mean()), abs=1e-6)
            values = torch.linalg.svdvals(pooled)
            assert torch.allclose(head.pooled_singular_values, values, atol=1e-6)


def test_queries_and_keys_are_read_in_the_precision_of_the_softmax(model, images):
    """Under autocast qk-norm gives float32 beside half-precision values, and the softmax rounds to theirs."""
    recorder, probe = Recorder(), Probe(queries=(7,))
    forward(model, images, recorder)
    event = next(e for e in recorder.events if e.kind == "global")
    event = replace(event, v=event.v.bfloat16())
    probe.observe(event)
    for head in probe.readings[0].heads:
        q, k = event.q[0, head.head], event.k[0, head.head]
        exact = (event.scale * q.double() @ k.double().T).softmax(-1)
        rounded = (event.scale * q.bfloat16().double() @ k.bfloat16().double().T).softmax(-1)
        assert float((exact - rounded).norm() / rounded.norm()) > 1e-3
        assert head.scalars.frobenius == pytest.approx(float(rounded.norm()), rel=1e-6)
        assert torch.allclose(head.heatmaps.double(), rounded[[7]], atol=1e-6)


def test_merged_matrix_is_read_too(model, images):
    probe = Probe(layers=[1], heads=[2], merged=True)
    forward(model, images, probe, FastVGGTRule(0.5))
    (reading,) = probe.readings
    (head,) = reading.heads
    assert (reading.layer, head.head) == (1, 2)
    assert (
        head.merged.rows == head.merged.columns == round(reading.kept * TOKENS) < head.scalars.rows == TOKENS
    )
    assert head.bracket is None and head.heatmaps is None


def test_frame_attention_on_request(model, images):
    probe = Probe(kinds=["frame"], items=[0, 2], layers=[0], queries=[1, 83])
    forward(model, images, probe)
    first, third = probe.readings
    assert (first.kind, first.tokens, first.frames, first.item, third.item) == ("frame", 40, 1, 0, 2)
    assert (first.queries, third.queries) == ((1,), (3,))  # token 83 is token 3 of frame 2
    assert first.heads[0].pooled is None and first.heads[0].heatmaps.shape == (1, 40)
    assert not torch.equal(first.heads[0].heatmaps, third.heads[0].heatmaps)
    assert torch.allclose(third.heads[0].heatmaps.sum(1), torch.ones(1), atol=1e-5)


@pytest.mark.slow
def test_nothing_of_the_event_is_kept(model, images):
    """What stays is numbers: the tensors of a layer are gone when the layer is."""
    dead = []

    class Watch(Probe):
        def observe(self, event):
            super().observe(event)
            dead.extend(weakref.ref(t) for t in (event.q, event.k, event.x, event.update))

    probe = Watch(bracket=Budget())
    forward(model, images, probe)
    gc.collect()
    assert len(probe.readings) == 3
    assert dead and all(ref() is None for ref in dead)


def test_sink_streams_and_cost_is_reported(model, images):
    streamed = []
    probe = Probe(sink=streamed.append)
    forward(model, images, probe)
    assert probe.readings == [] and len(streamed) == 3
    assert all(r.seconds > 0 and r.heads[0].scalars.passes >= 2 for r in streamed)


def test_arrays_for_a_record(model, images):
    probe = Probe()
    forward(model, images, probe, UniformRule(0.5))
    table = as_arrays(probe.readings)
    assert table["features.gamma"].shape == (3,) and table["scalars.stable_rank"].shape == (3, 3)
    assert table["layer"].tolist() == [0, 1, 2] and table["head"][0].tolist() == [0, 1, 2]
    assert np.isfinite(table["alignment.beta"]).all()
    assert {column.dtype for column in table.values()} == {np.dtype(np.float64)}
    assert all(head.merged is None for reading in probe.readings for head in reading.heads)
    heads = [replace(head, own_frame_mass=None) for head in probe.readings[0].heads[:1]]
    partly = replace(probe.readings[0], heads=(*heads, *probe.readings[0].heads[1:]))
    assert np.isnan(as_arrays([partly, probe.readings[1]])["own_frame_mass"]).tolist() == [
        [True, False, False],
        [False] * 3,
    ]
    with pytest.raises(ValueError, match="one kind"):
        as_arrays([*probe.readings, _frame_reading(model, images)])


def _frame_reading(model, images):
    probe = Probe(kinds=["frame"], layers=[0])
    forward(model, images, probe)
    return probe.readings[0]


def test_token_statistics_against_all_pairs():
    rng = torch.Generator().manual_seed(1)
    frame_offset = torch.randn(4, 1, 16, generator=rng)
    x = (torch.randn(4, 30, 16, generator=rng) + 0.8 * frame_offset + 0.5).flatten(0, 1)
    got = token_statistics(x, 0.1 * x, frames=4, seed=0, pairs=20_000)
    unit = torch.nn.functional.normalize(x).double()
    cosines = (unit @ unit.T)[~torch.eye(120, dtype=torch.bool)]
    assert got.gamma == pytest.approx(float(cosines.mean()), abs=1e-6)
    assert got.resultant == pytest.approx(float(unit.mean(0).norm()), abs=1e-7)
    assert got.gamma_sd == pytest.approx(float(cosines.std()), rel=0.05)
    for share, value in zip((0.05, 0.25, 0.5, 0.75, 0.95), got.gamma_quantiles, strict=True):
        assert value == pytest.approx(float(cosines.quantile(share)), abs=0.02)
    frames = unit.view(4, 30, 16)
    within = ((frames - frames.mean(1, keepdim=True)) ** 2).sum() / 120
    assert got.token == pytest.approx(float(within), abs=1e-6)
    assert got.common + got.frame + got.token == pytest.approx(1)
    assert got.step == pytest.approx(0.1, rel=1e-5)
    assert got.norm == pytest.approx(float(x.norm(dim=1).mean()), rel=1e-5)
    with pytest.raises(ValueError, match="no direction"):
        token_statistics(torch.zeros(8, 4), torch.zeros(8, 4), 2, seed=0)


def test_short_tokens_have_directions_too():
    x = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    whole, short = (token_statistics(scale * x, scale * x, 2, seed=0) for scale in (1.0, 2.0**-10))
    assert whole.gamma == short.gamma and whole.norm == 2**10 * short.norm
    assert whole == token_statistics(x, x, 2, seed=0, pairs=4096)


@pytest.mark.parametrize(("directions", "alike"), [([0, 1, 0, 1], 1 / 3), ([0, 1, 1, 1], 1 / 2)])
def test_all_pairs_of_different_tokens_are_as_likely(directions, alike):
    """Cosines are 1 or 0 here, so that their spread tells in what share of the sampled pairs they are 1."""
    got = token_statistics(torch.eye(2)[directions], torch.eye(2)[directions], 1, seed=0, pairs=20_000)
    assert got.gamma == pytest.approx(alike)
    assert got.gamma_sd == pytest.approx(math.sqrt(alike * (1 - alike)), abs=0.01)


def test_a_sample_knows_its_cosines_to_all_tokens():
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 8)[:, None]
    sample = Sample.draw(x, 3, seed=1)
    assert len(set(sample.queries.tolist())) == 3
    expected = torch.nn.functional.cosine_similarity(x[sample.queries, None], x[None], dim=-1)
    torch.testing.assert_close(sample.cosines, expected)


def test_alignment_by_hand():
    """Two queries among four tokens: what is said of pairs leaves out the query itself."""
    cosines = torch.tensor([[1.0, 0.5, 0.0, -0.5], [0.0, 0.5, 1.0, 0.25]])
    logits = torch.tensor([[1.0, 0.5, 0.25, 0.0], [0.5, 1.5, 2.0, 1.0]])
    attention = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])
    sample = Sample(torch.tensor([0, 2]), cosines)
    found = alignment(logits, attention, sample, gamma=0.5, self_mass=0.35, cluster_cosine=0.5)
    # around their row's mean: cosines (0.5, 0, -0.5) and (-0.25, 0.25, 0), logits half and twice as large
    assert found.beta == pytest.approx(0.5 / 0.625)
    assert found.correlation == pytest.approx(0.5 / math.sqrt(0.625 * 0.625))
    assert found.logit_sd == pytest.approx(math.sqrt(0.625 / 6))
    assert found.self_gap == pytest.approx((0.75 + 1) / 2)
    assert found.critical_tokens == pytest.approx(math.exp(0.4))
    assert (found.cluster_mass, found.cluster_share) == (pytest.approx((0.7 + 0.5) / 2), 0.5)
    steep = alignment(1e4 * logits, attention, sample, gamma=0.5, self_mass=0.35)
    assert steep.critical_tokens == math.exp(700) and steep.cluster_cosine == 0.9
    assert steep.cluster_mass == pytest.approx((0.4 + 0.3) / 2)  # no other token is that near


def made_event(kind="global", scenes=2, tokens=40):
    """An event of one head without a model: two frames of 20 tokens."""
    generator = torch.Generator().manual_seed(3)
    q, k, v = (torch.randn(scenes, 1, tokens, 4, generator=generator) for _ in range(3))
    x, update = (torch.randn(scenes, tokens, 8, generator=generator) for _ in range(2))
    return AttentionEvent(kind, 0, x, q, k, v, q, k, 0.4, None, TokenLayout(2, 3, 6, special=2), update)


def read(event, **options):
    probe = Probe(**options)
    probe.observe(event)
    return probe.readings


def test_a_probe_samples_32_queries_and_scales_their_logits(monkeypatch):
    event = made_event()
    times = iter((10.0, 12.5))
    monkeypatch.setattr("lib.probe.observer.clock", lambda x: next(times))
    (reading,) = read(event)
    (head,) = reading.heads
    assert reading.seconds == 2.5 and (reading.frames, head.merged) == (2, None)
    sample, logits = Sample.draw(event.x[0], 32, seed=0), 0.4 * event.q[0, 0] @ event.k[0, 0].T
    assert reading.features == token_statistics(event.x[0], event.update[0], 2, seed=0)
    expected = alignment(
        logits[sample.queries],
        logits.softmax(-1)[sample.queries],
        sample,
        reading.features.gamma,
        float(logits.softmax(-1).trace() / 40),
    )
    for name, value in vars(expected).items():
        assert getattr(head.alignment, name) == pytest.approx(value, rel=1e-4), name


def test_queries_count_from_the_start_of_a_scene_and_of_a_frame():
    event = made_event()
    (second,) = read(event, items=[1], queries=[39])
    attention = (0.4 * event.q[1, 0] @ event.k[1, 0].T).softmax(-1)
    torch.testing.assert_close(second.heads[0].heatmaps, attention[39:])
    (alone,) = read(replace(event, layout=None), items=[1], queries=[39])
    assert torch.equal(alone.heads[0].heatmaps, second.heads[0].heatmaps)
    frames = read(made_event("frame", 4, 20), kinds=["frame"], items=[1, 3], queries=[19, 20, 39, 40])
    assert [reading.queries for reading in frames] == [(0, 19)] * 2  # of frame 1 of either scene


def test_an_operator_is_that_of_the_first_item_unless_another_is_named():
    event = made_event()
    for item, options in ((0, {}), (1, {"item": 1})):
        inner, outer = attention_operators(event, 0, **options)
        attention = (0.4 * event.q[item, 0] @ event.k[item, 0].T).softmax(-1)
        assert inner is outer
        torch.testing.assert_close(outer.attention_rows(torch.arange(40)).float(), attention)


def test_alignment_recovers_the_law_it_assumes():
    """Logits β cos + a shift of each row + noise: the slope is β, the correlation falls with the noise."""
    rng = torch.Generator().manual_seed(2)
    x = torch.randn(400, 8, generator=rng) + 0.6
    sample = Sample.draw(x, 50, seed=3)
    shift, noise = 5 * torch.randn(50, 1, generator=rng), torch.randn(50, 400, generator=rng)
    clean = 3.0 * sample.cosines + shift
    exact = alignment(clean, clean.softmax(1), sample, gamma=0.2, self_mass=0.1, cluster_cosine=0.8)
    assert exact.beta == pytest.approx(3.0, rel=1e-4)
    assert exact.correlation == pytest.approx(1.0, abs=1e-5)
    assert exact.critical_tokens == pytest.approx(math.exp(3.0 * 0.8), rel=1e-3)
    cluster = sample.cosines >= 0.8
    assert exact.cluster_mass == pytest.approx(float((clean.softmax(1) * cluster).sum(1).mean()), rel=1e-5)
    assert exact.cluster_share == pytest.approx(float(cluster.float().mean()), rel=1e-6)
    noisy = alignment(clean + noise, clean.softmax(1), sample, gamma=0.2, self_mass=0.1)
    assert noisy.beta == pytest.approx(3.0, abs=0.15)
    assert noisy.correlation < 0.8
    assert noisy.logit_sd > exact.logit_sd
    own = torch.zeros(50, 400).scatter_(1, sample.queries[:, None], 1.0)
    gap = alignment(clean + 7 * own, clean.softmax(1), sample, gamma=0.2, self_mass=0.1)
    assert gap.beta == pytest.approx(3.0, rel=1e-4)  # the self pair does not enter the slope
    assert gap.self_gap - exact.self_gap == pytest.approx(7.0, rel=1e-4)


def test_tokens_of_one_direction_have_no_slope():
    """Cosines that do not vary leave the slope and the correlation undefined: both are zero, not NaN."""
    x = torch.ones(12, 4)
    sample = Sample.draw(x, 5, seed=0)
    logits = torch.randn(5, 12, generator=torch.Generator().manual_seed(0))
    found = alignment(logits, logits.softmax(1), sample, gamma=1.0, self_mass=0.1)
    assert (found.beta, found.correlation) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": [9]}, "head = 9"),
        ({"items": [1]}, "item = 1"),
        ({"queries": [TOKENS]}, r"queries = \(240,\)"),
        ({"kinds": ["local"]}, "kinds"),
    ],
)
def test_what_is_not_there_is_refused(model, images, options, message):
    with pytest.raises(ValueError, match=message):
        forward(model, images, Probe(**options))

"""A factor on the logits of global attention: what it equals, what it leaves alone, what it composes with."""

import math
from dataclasses import replace

import pytest
import torch
from small_models import golden_vggt, tiny_vggt

from lib.merging import FastVGGTRule, KeyValueGridRule, TokenLayout, UniformRule
from lib.probe import Probe
from lib.run import Params, prepare, run
from lib.vggt import FixedScale, LengthScale, SinkScale, parse_scale

RULES = [None, FastVGGTRule(0.5), UniformRule(0.3, size_bias=True), KeyValueGridRule(0.3, size_bias=True)]
OUTPUTS = ("pose_enc", "depth", "world_points")
LAYOUT = TokenLayout(frames=48, patches_high=6, patches_wide=6, special=5)


@pytest.fixture(scope="module")
def model():
    return tiny_vggt().requires_grad_(False)


def images(frames=4, high=16, wide=24):
    return torch.rand(frames, 3, high, wide, generator=torch.Generator().manual_seed(0))


def scale_queries(model, factor, layers):
    """The two-line recipe for the original VGGT."""
    for layer in layers:
        norm = model.aggregator.global_blocks[layer].attn.q_norm
        norm.weight.data.mul_(factor), norm.bias.data.mul_(factor)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("layers", [(0, 1, 2), (1,)])
def test_equals_scaling_the_queries_norm_in_double_precision(rule, layers):
    model = tiny_vggt().requires_grad_(False).double()
    asked = model(images().double(), merging=rule, logit_scale=FixedScale(1.7, layers))
    plain = model(images().double(), merging=rule)
    scale_queries(model, 1.7, layers)
    recipe = model(images().double(), merging=rule)
    for name in OUTPUTS:
        torch.testing.assert_close(getattr(asked, name), getattr(recipe, name), atol=1e-10, rtol=1e-9)
    assert (asked.pose_enc - plain.pose_enc).abs().max() > 1e-4


def test_the_recipe_equals_the_argument_on_golden_weights(golden, golden_config):
    model = golden_vggt(golden, golden_config, track=False).requires_grad_(False)
    side = 2 * golden_config["small_vggt"]["patch_size"]
    asked = model(images(6, side, side), logit_scale=LengthScale(2))
    factor = asked.report.tokens
    factor = math.log(factor) / math.log(factor / 3)
    scale_queries(model, factor, range(model.config.depth))
    recipe = model(images(6, side, side))
    for name in OUTPUTS:
        torch.testing.assert_close(getattr(asked, name), getattr(recipe, name), atol=1e-6, rtol=1e-6)


def test_none_and_a_factor_of_one_are_bitwise_plain(model):
    plain = model(images())
    for scale in (None, FixedScale(1.0), FixedScale(2.0, layers=()), LengthScale(frames=9)):
        scaled = model(images(), logit_scale=scale)
        assert all(torch.equal(getattr(plain, name), getattr(scaled, name)) for name in OUTPUTS)


class Watcher:
    def __init__(self):
        self.scales = {"frame": [], "global": []}

    def observe(self, event):
        self.scales[event.kind].append(event.scale)


@pytest.mark.slow
def test_the_probe_sees_the_scale_that_was_used(model):
    watcher, probe = Watcher(), Probe(kinds=("global",))
    model(images(), logit_scale=FixedScale(1.5, layers=(1,)), probe=watcher)
    head = model.aggregator.global_blocks[0].attn.scale
    assert watcher.scales == {"frame": [head] * 3, "global": [head, 1.5 * head, head]}
    scaled = tiny_vggt().requires_grad_(False)
    model(images(), logit_scale=FixedScale(1.5), probe=probe)
    scale_queries(scaled, 1.5, range(3))
    reference = Probe(kinds=("global",))
    scaled(images(), probe=reference)
    for found, expected in zip(probe.readings, reference.readings, strict=True):
        for one, other in zip(found.heads, expected.heads, strict=True):
            assert one.own_frame_mass == pytest.approx(other.own_frame_mass, rel=1e-4)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: type(r).__name__)
def test_half_precision_runs_and_stays_close(model, rule):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(images(), merging=rule, logit_scale=FixedScale(1.5))
    full = model(images(), merging=rule, logit_scale=FixedScale(1.5))
    assert (half.pose_enc - full.pose_enc).norm() < 0.1 * full.pose_enc.norm()


def test_factors_are_what_their_names_say():
    short = replace(LAYOUT, frames=8)
    assert LengthScale(12).factor(0, LAYOUT) == pytest.approx(math.log(48 * 41) / math.log(12 * 41))
    assert LengthScale(12).factor(0, short) == 1
    assert LengthScale(12, layers=(3,)).factor(0, LAYOUT) == 1
    three = TokenLayout(frames=9, patches_high=1, patches_wide=2, special=1)
    assert LengthScale(1).factor(0, three) == pytest.approx(math.log(27) / math.log(3))
    assert LengthScale(0.1).factor(0, three) == pytest.approx(math.log2(27))  # of two tokens at least
    sink = SinkScale(12, (math.log(11), -1.0))
    # w0 = e^b/(e^b + 11) = 1/2 at 12 frames; at 48 frames f b - ln 47 = b - ln 11
    assert sink.factor(0, LAYOUT) * math.log(11) - math.log(47) == pytest.approx(0, abs=1e-12)
    assert sink.factor(1, LAYOUT) == sink.factor(2, LAYOUT) == sink.factor(0, short) == 1


def test_text_and_value():
    assert parse_scale("none") is None
    assert parse_scale("1.5") == FixedScale(1.5)
    assert parse_scale("1.5 in 0 3") == FixedScale(1.5, (0, 3))
    assert parse_scale(" length  12 in 4") == LengthScale(12.0, (4,))
    assert parse_scale("length 12") == LengthScale(12.0)
    assert parse_scale("sink 12 0.5 3") == SinkScale(12.0, (0.5, 3.0))
    assert parse_scale("sink 12 0.5") == SinkScale(12.0, (0.5,))


@pytest.mark.parametrize(
    "text",
    [
        *("", "none in 3", "0", "-1", "nan", "inf", "length", "length 0", "sink 1 2", "sink 12", "1 2", "x"),
        *("length length 3", "none 1.5", "1.5 length", "1.5 none", "sink 12 0.5 in 3", "length 12 3"),
        *("1.5 in", "1.5 in ", "1.5 in x", "1.5 3", "in 3", "length in 3"),
    ],
)
def test_a_text_that_is_no_scale_is_named(text):
    with pytest.raises(ValueError, match="logit scale"):
        parse_scale(text)


def test_a_run_takes_it_as_a_parameter():
    params = Params(model="random", scene="rooms:3", frames=4, m=0.0, seed=1)
    setup = prepare(params)
    plain = run(setup).prediction.pose_enc
    scaled = run(replace(setup, params=replace(params, logit_scale="length 2"))).prediction.pose_enc
    assert not torch.equal(plain, scaled)
    with pytest.raises(ValueError, match="logit scale"):
        replace(params, logit_scale="warm")

"""Timing side by side: operations against an independent count, clocks that add up, no hooks left behind."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from book.study.runtime import draw
from lib import records
from lib.costs import measure as runtime
from lib.costs.operations import forward_operations
from lib.costs.stopwatch import PARTS, Stopwatch, exclusive, watched
from lib.merging import TokenLayout
from lib.run import random_config
from lib.vggt import VGGT

FRAMES = 9


@pytest.fixture(scope="module")
def model():
    return VGGT.from_seed(random_config(), 0).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def images():
    return torch.rand(FRAMES, 3, 70, 70, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def layout():
    return TokenLayout(FRAMES, 5, 5)


@pytest.fixture(scope="module")
def variants(model, images):
    return runtime.measure(model, images, runtime.rules("all", 0.6, seed=33), repeats=2)


def count(call):
    """Multiplications and additions of matrix products by their operator, as torch counts them."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        call()
    return {str(op): number for op, number in counter.get_flop_counts().get("Global", {}).items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*runtime.VARIANTS, "adaptive"])
@pytest.mark.parametrize("m", [0.3, 0.9])
@pytest.mark.parametrize("width", [64, 96])
def test_matching_costs_what_torch_counts(name, m, width, layout):
    x = torch.randn(1, layout.tokens, width, generator=torch.Generator().manual_seed(1))
    rule = runtime.rules(name, m, seed=33)[name]
    counted = sum(count(lambda: rule.plan(x, layout)).values())
    found = rule.matching_operations(layout, width)
    # regions of 8 frames and a rest of 1 are not equal; everything else is exact
    assert found == pytest.approx(counted, rel=0.5 if name == "regions" else 1e-9)


def test_regions_of_equal_size_are_counted_exactly():
    layout = TokenLayout(16, 5, 5)
    rule = runtime.rules("regions", 0.5, seed=33)["regions"]
    x = torch.randn(1, layout.tokens, 64, generator=torch.Generator().manual_seed(1))
    counted = sum(count(lambda: rule.plan(x, layout)).values())
    assert rule.scored_pairs(layout) * 2 * 64 == pytest.approx(counted, rel=1e-9)


def test_projections_and_mlps_cost_what_torch_counts(model, images, layout):
    counted = count(lambda: model(images, heads=("camera",)))["aten.addmm"]
    camera = count(lambda: model.camera_head(torch.zeros(1, FRAMES, 128)))["aten.addmm"]
    plain = forward_operations(model.config, layout)
    attention_inside = model.config.patch_embed.depth * plain.frame_attention / model.config.depth
    assert plain.dense + plain.embedding - attention_inside == pytest.approx(counted - camera, rel=0.02)


@pytest.mark.slow
def test_variants_keep_what_they_were_asked(variants, layout):
    assert list(variants) == [runtime.PLAIN, *runtime.VARIANTS]
    assert variants["plain"].kept == variants["plain"].pairs_share == 1
    for name in ("uniform", "regions", "grid"):
        assert variants[name].kept == pytest.approx(0.4, abs=1 / layout.tokens)
    assert variants["uniform"].pairs_share == pytest.approx(0.16, abs=0.01)
    assert variants["grid"].pairs_share == pytest.approx(0.4, abs=0.01)


@pytest.mark.slow
def test_parts_add_up(variants):
    for name, variant in variants.items():
        assert len(variant.passes) == 2 and variant.peak_mib > 0 and variant.kernel
        for spent in variant.passes:
            np.testing.assert_allclose(sum(spent[part] for part in PARTS), spent["whole"], atol=1e-9)
            assert all(spent[part][1] > 0 for part in PARTS if part != "matching")
            assert (spent["matching"][1] > 0) == (name != "plain")
            assert spent["aggregator"][1] < spent["whole"][1]


def test_peak_of_a_known_allocation():
    class Known(torch.nn.Module):
        def forward(self, images, merging=None, logit_scale=None):
            first = torch.empty(2**18)  # 1 MiB
            second = torch.empty(2**19)  # 2 MiB, both alive
            del first, second
            return torch.empty(2**18)

    variant = runtime.Variant(None)
    runtime.warm_up(Known(), torch.zeros(1), variant)
    assert variant.peak_mib == pytest.approx(3.0, rel=0.01)


def test_timing_changes_no_prediction_and_leaves_no_hooks(model, images):
    with torch.inference_mode():
        plain = model(images).depth
        with watched(model, Stopwatch(images.device)):
            timed = model(images).depth
    assert torch.equal(plain, timed)
    with pytest.raises(RuntimeError), watched(model, Stopwatch(images.device)):
        raise RuntimeError
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_exclusive_parts_by_hand():
    inclusive = {
        "whole": 100, "aggregator": 80, "embedding": 10, "frame blocks": 20, "attention module": 30,
        "projections": 8, "attention": 12, "mlp": 5, "matching": 4, "heads": 15,
    }  # fmt: skip
    parts = exclusive({name: np.full(2, float(value)) for name, value in inclusive.items()})
    assert parts["moving tokens"][0] == 10 and parts["projections and MLPs"][0] == 13
    assert parts["rest"][0] == 100 - 10 - 20 - 12 - 4 - 15 - 13 - 10


@pytest.mark.slow
def test_records_differ_in_machine_units_only(variants, model, images, layout):
    again = runtime.measure(model, images, runtime.rules("all", 0.6, seed=33), repeats=1)
    origin = records.Run(records.Provenance("x", {}, {}, {}, {}), "cpu", "now", 0.0)
    first, second = (
        origin.finish(runtime.as_measurements(v, model.config, layout)).comparable()["measurements"]
        for v in (variants, again)
    )
    assert first == second
    assert {"plain: kept", "grid: operations", "uniform: kernel"} <= first.keys()
    assert not any("CPU" in name or "peak" in name for name in first)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("ours", 0.5, 0), "rule must be 'all', 'regions' or one of"), (("all", 1.0, 0), "m must lie in")],
)
def test_wrong_input_is_one_clear_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        runtime.rules(*arguments)


def test_no_repeats(model, images):
    with pytest.raises(ValueError, match="repeats must be at least 1"):
        runtime.measure(model, images, {}, repeats=0)


def test_laws_find_the_law_that_made_the_times():
    m = np.array([0.0, 0.3, 0.5, 0.7, 0.9])
    x = 1 - m
    exact = draw.laws(m, 0.2 + 0.3 * x + 0.5 * x**2)
    assert min(exact, key=exact.get) == "a + b(1−m) + c(1−m)²" and min(exact.values()) < 1e-12
    square = draw.laws(m, x**2)
    assert square["(1−m)², nothing fitted"] == 0 and square["c(1−m)²"] < 1e-12 < square["a + b(1−m)"]


@pytest.mark.slow
def test_a_curve_is_relative_to_the_plain_passes_of_its_own_run(variants, model, layout):
    found = runtime.as_measurements(variants, model.config, layout)
    found |= {
        "plain: aggregator, CPU": ([1.0, 2.0, 4.0], "s"),
        "grid: aggregator, CPU": ([1.0, 1.0, 1.0], "s"),
    }
    run = records.Run(records.Provenance("x", {}, {}, {}, {}), "cpu", "now", 0.0)
    c = draw.curve([(0.6, run.finish(found), "grid")])
    assert (c.time[0], c.time[1], c.low[1], c.high[1]) == (1, 0.5, 0.25, 1)
    assert c.kept[1] == pytest.approx(0.4, abs=0.01) and c.operations[1] < 1

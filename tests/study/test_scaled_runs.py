"""`logit_scale` in every run: what a run measures with a factor it measures of a network scaled by hand."""

import ast
import copy
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import tiny_vggt
from torch.nn.attention import SDPBackend, sdpa_kernel

from book.study.anchored import Anchored
from book.study.frontier import measure as frontier
from book.study.fusion import lengths
from book.study.fusion import measure as fusion
from book.study.heatmaps import measure as heatmaps
from book.study.holding import measure as holding
from book.study.long_sequences import law
from book.study.long_sequences import measure as long_sequences
from book.study.long_sequences.shares import Shares, draw_queries, group_masks
from book.study.networks import designs
from book.study.practice import adaptive, advice, alarm
from book.study.predictions import duplicates, second, thinning
from book.study.predictions import measure as predictions
from book.study.reconstruction import measure as reconstruction
from book.study.rivals import measure as rivals
from lib import records
from lib.costs import measure as runtime
from lib.merging import RULES, Setting
from lib.probe import Probe
from lib.records.code import notebook_source
from lib.run import Params, load_model, prepare, run
from lib.vggt import FixedScale, LengthScale, SinkScale, parse_scale

ROOT = Path(__file__).resolve().parents[2]
RUNS = sorted(path.name for path in (ROOT / "book" / "runs").glob("*.ipynb"))
PARAMS = Params(model="random", scene="denser:0", frames=6, m=0.5)


@pytest.fixture(scope="module")
def plain():
    return load_model(PARAMS)[0].requires_grad_(False)


@pytest.fixture(scope="module")
def by_hand(plain):
    """The two-line recipe for the original VGGT, factor 1.7."""
    model = copy.deepcopy(plain)
    for block in model.aggregator.global_blocks:
        block.attn.q_norm.weight.data.mul_(1.7), block.attn.q_norm.bias.data.mul_(1.7)
    return model


def of_reconstruction(params, model, patch):
    patch.setattr(reconstruction, "load_model", lambda _: (model, None))
    return reconstruction.measure(params, ["fastvggt 0.5", "grid 0.5 biased"], "pooled", 100).values


def of_alarm(params, model, patch):
    patch.setattr(alarm, "load_model", lambda _: (model, None))
    return alarm.measure(replace(params, m=0.0, frames=10), 3)


def of_lengths(params, model, patch):
    patch.setattr(lengths, "load_model", lambda _: (model, None))
    return lengths.measure(replace(params, m=0.0), [0.5]).arrays


def of_long_sequences(params, model, patch):
    patch.setattr(long_sequences, "load_model", lambda _: (model, None))
    table = long_sequences.measure(replace(params, m=0.0), ["merged", "anchored", "quarter"], trained=3)
    return table.errors | {"mass": table.mass, "log_sums": table.log_sums}


def of_heatmaps(params, model, patch):
    setup = prepare(params, model)
    reading = heatmaps.read_scene(setup, heatmaps.chosen_tokens(setup.sequence, setup.layout), 8, False)
    return reading.numbers | {f"rehearsed.{n}": v for n, v in (reading.rehearsed or {}).items()}


def of_adaptive(params, model, patch):
    patch.setattr(adaptive, "BUDGETS", ("block",))
    patch.setattr(adaptive, "CALIBRATION", ("100",))
    patch.setattr(adaptive, "POINTS", (0.3,))
    rules = adaptive.contenders(params, model)
    tolerances = np.array([rule.merging.tolerance for rule in rules if rule.merging.adaptive])
    return adaptive.compare(params, model, rules[-1:]).arrays | {"tolerances": tolerances}


def of_advice(params, model, patch):
    setup = prepare(replace(params, m=0.0), model)
    forecast = advice.Forecast(model, list(advice.considered(setup.layout, 0).values()))
    run(setup, forecast)
    return forecast.arrays()


def of_runtime(params, model, patch):
    seen = []
    take = lambda *args, **options: seen.append(model(*args, **options).pose_enc) or FakeReport()  # noqa: E731
    patch.setattr(runtime, "watched", lambda *_: torch.inference_mode())
    patch.setattr(runtime, "exclusive", lambda spent: spent)
    images, scale = prepare(replace(params, frames=2), model).sequence.images, parse_scale(params.logit_scale)
    runtime.measure(take, images, runtime.rules("uniform", 0.5, 0), 1, logit_scale=scale)
    return {"pose": torch.stack(seen).numpy()}


def of_second_round(params, model, patch):
    sequence = prepare(replace(params, frames=16), model).sequence
    return second.long_scene(model, sequence, parse_scale(params.logit_scale))


class FakeReport:
    report = type("Report", (), {"kept": (1.0,), "pairs": 1, "pairs_plain": 1})


def of_networks(params, model, patch):
    patch.setattr(designs, "load_model", lambda _: (model, None))
    return designs.measure(params, [4, 8])


def of_holding(params, model, patch):
    patch.setattr(holding, "load_model", lambda _: (model, None))
    return holding.measure(params, [4, 8])


def of_frontier(params, model, patch):
    patch.setattr(frontier, "load_model", lambda _: (model, None))
    return frontier.measure(params, [0.5, 0.25]).arrays


MEASURES = {
    "adaptive": of_adaptive,
    "advice": of_advice,
    "alarm": of_alarm,
    "duplicates": lambda p, model, _: duplicates.measure_scene(model, prepare(p, model)),
    "frontier": of_frontier,
    "fusion": lambda p, model, _: fusion.measure(p, True, model).arrays,
    "heatmaps": of_heatmaps,
    "holding": of_holding,
    "lengths": of_lengths,
    "long_sequences": of_long_sequences,
    "networks": of_networks,
    "predictions": lambda p, model, _: predictions.measure_scene(model, prepare(p, model)),
    "reconstruction": of_reconstruction,
    "rivals": lambda p, model, _: rivals.measure(p, model, 1, False, True, 2).known(),
    "runtime": of_runtime,
    "second_round": of_second_round,
    "thinning": lambda p, model, _: thinning.measure_scene(
        model, prepare(p, model).sequence.images, 0, parse_scale(p.logit_scale)
    ),
}


# ---- rules, scales, probe, dtypes, kernels -----------------------------------------------------------------

RULING = {"none": None, "anchored": Anchored(2)}
RULING |= {name: Setting(name, 0.02 if kind.adaptive else 0.3).merging(0) for name, kind in RULES.items()}
RULING |= {
    f"{n}, size bias": replace(rule, size_bias=True)
    for n, rule in RULING.items()
    if n in ("fastvggt", "grid")
}
RULING["anchored, merged, size bias"] = Anchored(2, RULING["fastvggt, size bias"])
SCALES = {
    "none": lambda b: None,
    "fixed": lambda b: FixedScale(1.7),
    "some layers": lambda b: FixedScale(0.6, layers=(1, 2)),
    "from training length": lambda b: LengthScale(2),
    "from the measured sink": lambda b: SinkScale(2, b),
}


@pytest.fixture(scope="module")
def tiny():
    """A model, images, and b of each layer as measured: the log-odds of frame 0 against another frame."""
    model = tiny_vggt().requires_grad_(False)
    images = torch.rand(4, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    layout = model.config.layout(len(images), *images.shape[-2:])
    queries = draw_queries(layout, 8, 0)
    seen = Shares(queries, group_masks(layout, queries, torch.zeros(len(queries), layout.tokens, dtype=bool)))
    model(images, probe=seen)
    held = law.shares(seen.table()[:, 0])[..., 0].mean((1, 2))
    return model, images, tuple(abs(np.log(held / (1 - held)) + np.log(len(images) - 1)) + 0.5)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("rule", RULING)
@pytest.mark.slow
def test_a_scale_composes(rule, scale, tiny):
    model, images, odds = tiny
    chosen, merging = SCALES[scale](odds), RULING[rule]
    layout = model.config.layout(len(images), *images.shape[-2:])
    recipe = copy.deepcopy(model)
    for layer, block in enumerate(recipe.aggregator.global_blocks):
        factor = 1.0 if chosen is None else chosen.factor(layer, layout)
        block.attn.q_norm.weight.data.mul_(factor), block.attn.q_norm.bias.data.mul_(factor)

    def poses(network=model, logit_scale=chosen, **options):
        return network(images, merging=merging, logit_scale=logit_scale, heads=["camera"], **options).pose_enc

    asked, plain = poses(), model(images, merging=merging, heads=["camera"]).pose_enc
    assert torch.equal(asked, poses(probe=Probe(heads=())))
    torch.testing.assert_close(asked, poses(recipe, None), atol=2e-5, rtol=2e-4)
    with sdpa_kernel([SDPBackend.MATH]):
        torch.testing.assert_close(asked, poses(), atol=2e-5, rtol=2e-4)
    with torch.autocast("cpu", torch.bfloat16):
        assert (poses() - asked).norm() < 0.15 * asked.norm()
    if chosen is None:
        assert torch.equal(asked, plain)
    else:
        assert (asked - plain).abs().max() > 1e-4


# ---- the runs ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("experiment", MEASURES)
def test_a_run_with_a_factor_measures_a_network_scaled_by_hand(experiment, plain, by_hand, monkeypatch):
    measure = MEASURES[experiment]
    asked = measure(replace(PARAMS, logit_scale="1.7"), plain, monkeypatch)
    recipe = measure(PARAMS, by_hand, monkeypatch)
    unscaled = measure(PARAMS, plain, monkeypatch)
    moved = []
    for name in sorted(asked.keys() - {"seconds"}):
        np.testing.assert_allclose(asked[name], recipe[name], rtol=2e-3, atol=2e-4, err_msg=name)
        moved.append(not np.allclose(asked[name], unscaled[name], rtol=1e-2, atol=1e-3, equal_nan=True))
    assert any(moved)


def test_every_run_takes_the_factor_and_none_is_plain():
    assert {f"{name}.ipynb" for name in MEASURES} == set(RUNS) - {"one_run.ipynb"}
    for name in RUNS:
        assert records.declared(f"book/runs/{name}", ROOT)["logit_scale"] == "none", name


@pytest.mark.parametrize("name", RUNS)
def test_a_notebook_hands_its_factor_on(name):
    """All its parameters that `Params` has go there, together, under their names; never one by one."""
    calls = [
        node
        for node in ast.walk(ast.parse(notebook_source(ROOT / "book" / "runs" / name)))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Params"
    ]
    assert calls
    for call in calls:
        assert any(keyword.arg is None for keyword in call.keywords), ast.unparse(call)
    assert "logit_scale" in {field.name for field in fields(Params)}

"""The bill of the sweep over ScanNet-50: its file is accepted, counts are those of plans, fits recover."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from small_models import tiny_config

from book.study.budget import draw, model
from lib.costs.measure import PLAIN
from lib.merging import Setting, TokenLayout
from lib.sweep import command_line
from lib.vggt import VGGTConfig
from lib.vggt.memory import estimate_memory

LAYOUT = TokenLayout(6, 7, 9)


@pytest.mark.slow
def test_the_sweep_is_accepted_and_has_the_runs_that_the_page_counts(tmp_path, monkeypatch, capsys):
    runs = model.planned()
    for scene in {run["scene"] for run in runs}:
        (tmp_path / scene).mkdir(parents=True)
        Image.new("RGB", (28, 28)).save(tmp_path / scene / "0.png")
    monkeypatch.chdir(tmp_path)
    assert command_line(["book/sweeps/scannet-50.yml", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{len(runs)} runs: 0 current, {len(runs)} to run")
    assert len(set(re.findall(r"^missing .*", said, re.MULTILINE))) == len(runs)


def test_fifty_scenes_five_strengths_and_three_rules():
    runs = model.planned()
    scenes = {run["scene"].removeprefix("scannet/") for run in runs}
    assert len(scenes) == 50 and all(re.fullmatch(r"scene0\d{3}_0\d", name) for name in scenes)
    assert {run["m"] for run in runs} == {0.0, 0.3, 0.5, 0.7, 0.9}
    assert {run["rule"] for run in runs if run["m"]} == {"fastvggt", "uniform", "grid"}
    assert len(runs) == 50 * (1 + 4 * 3) and {run["frames"] for run in runs} == {1000}


@pytest.mark.parametrize("rule", ["fastvggt", "uniform", "grid", "split"])
@pytest.mark.parametrize("m", [0.3, 0.5])
def test_pairs_are_those_of_the_plan(rule, m):
    config = tiny_config()
    x = torch.randn(1, LAYOUT.tokens, config.width, generator=torch.Generator().manual_seed(0))
    plan = Setting(rule, m).merging(33).plan(x, LAYOUT)
    found, plain = (model.operations(config, LAYOUT, rule, strength) for strength in (m, 0.0))
    share = plan.pairs / LAYOUT.tokens**2
    assert found.global_attention == pytest.approx(plain.global_attention * share, rel=1e-9)
    assert found.dense == plain.dense and plain.matching == 0
    assert (found.matching == 0) == (rule == "grid")


def test_a_strength_out_of_reach_is_refused():
    with pytest.raises(ValueError, match=r"m = 0\.99 is out of reach here; the largest is 0\.7"):
        model.operations(tiny_config(), LAYOUT, "uniform", 0.99)


RATES = (2e10, 5e10, 1e10, 4e8)


def made(seed=0, rates=RATES, noise=0.0):
    """Passes of a machine with these rates."""
    draws = np.random.default_rng(seed)
    counted = draws.uniform(0.01, 1, (12, 4)) * (1e11, 1e11, 1e11, 1e9)
    seconds = (counted / rates).sum(1) * np.exp(noise * draws.normal(size=12))
    return [model.Pass(8, 0.5, "uniform", c, float(s), 1.0) for c, s in zip(counted, seconds, strict=True)]


def test_rates_are_recovered():
    found = model.fit_rates(made())
    np.testing.assert_allclose(found.per_second, RATES, rtol=1e-6)
    forecast = [found.seconds(one.counts) for one in made(seed=1)]
    assert np.abs(model.ratio_error(forecast, [one.seconds for one in made(seed=1)])).max() < 1e-6
    assert found.times(2).seconds(made()[0].counts) == pytest.approx(made()[0].seconds / 2)
    assert (model.fit_rates(made(noise=0.1)).per_second > 0).all()
    assert model.mean_ratio([1.0, 4.0], [4.0, 4.0]) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="4 constants need at least as many passes, got 3"):
        model.fit_rates(made()[:3])


def test_a_kind_that_costs_nothing_has_no_rate():
    free = model.fit_rates(made(rates=(2e10, 5e10, np.inf, 4e8)))
    assert free.per_second[2] > 1e15 and free.seconds(np.array([2e10, 5e10, 1e9, 0])) == pytest.approx(2.0)


def test_a_card_has_a_rate_of_operations_and_one_of_moving():
    plain, merged = np.array([2e9, 8e9, 0, 0]), np.array([2e9, 1e9, 1e9, 3e6])
    found = model.card_rates(plain, 5.0, merged, 5.0)
    np.testing.assert_allclose(found.per_second, [2e9, 2e9, 2e9, 1e6])
    assert found.seconds(plain) == found.seconds(merged) == 5.0
    with pytest.raises(ValueError, match=r"2\.0 s leave nothing for moving"):
        model.card_rates(plain, 5.0, merged, 2.0)


def test_passes_are_read_from_a_run():
    operations = {"plain": [0.0, 4.0, 1.0, 6.0, 0.0], "uniform": [0.0, 4.0, 1.0, 3.0, 2.0]}
    values = {"variants": ["plain", "uniform"], "frames": 6, "tokens": LAYOUT.tokens}
    for rule, counted in operations.items():
        values |= {f"{rule}: operations": counted, f"{rule}: peak": 2.0, f"{rule}: whole, CPU": [0.3, 0.2]}
        values |= {f"{rule}: whole, wall": [0.5, 0.4]}
    config = tiny_config()

    class Read(dict):
        params = {"m": 0.5}  # noqa: RUF012
        device = "cpu x86_64"

    plain, merged = model.passes(Read(values), config)
    moved = config.depth * config.width * LAYOUT.tokens
    assert plain.counts.tolist() == [5, 6, 0, 0] and merged.counts.tolist() == [5, 3, 2, moved]
    assert (plain.m, merged.m, merged.seconds, merged.peak) == (0.0, 0.5, 0.2, 2 * 2**20)
    Read.device = "cuda H100"
    assert model.passes(Read(values), config)[0].seconds == 0.4


def test_the_bill_adds_up_and_its_picture_shows_it():
    runs = [{"frames": 6, "m": 0.0}] * 2
    runs += [{"frames": 6, "m": m, "rule": r} for m in (0.3, 0.5) for r in ("grid", "uniform")] * 2
    config = tiny_config()
    bills = model.bills(runs, config, (28, 28))
    assert [(b.rule, b.m, b.runs) for b in bills[:2]] == [(PLAIN, 0.0, 2), ("grid", 0.3, 2)]
    assert sum(b.runs for b in bills) == len(runs)
    rates = model.Rates(np.full(4, 1e9))
    assert bills[0].hours(rates) == pytest.approx(2 * bills[0].counts.sum() / 1e9 / 3600)
    assert bills[0].counts[3] == 0 < bills[1].counts[3]
    figure = draw.of_the_bill(bills, rates.times(0.5), rates, rates.times(2), "card")
    (ax,) = figure.axes
    assert [t.get_text() for t in ax.get_yticklabels()][:2] == ["no merging", "grid, m = 0.3"]
    marks = [line for line in ax.lines if len(line.get_xdata()) == 1]
    assert [line.get_xdata()[0] for line in marks] == pytest.approx([b.hours(rates) for b in bills])


def test_forecasts_are_drawn_against_what_was_measured():
    shown, out = made()[:6], {"longer": made()[6:]}
    rates = model.fit_rates(shown)
    lines = {line.get_label(): line for line in draw.of_the_test(shown, out, rates).axes[0].lines}
    assert list(lines["longer"].get_xdata()) == [one.seconds for one in out["longer"]]
    assert list(lines["longer"].get_ydata()) == [rates.seconds(one.counts) for one in out["longer"]]
    printed = {
        line.get_label(): line for line in draw.of_printed([1, 2], [3, 4], [False, True]).axes[0].lines
    }
    assert list(printed["not merged"].get_ydata()) == [3]
    assert list(printed["merged by the released rule"].get_xdata()) == [2]


@pytest.mark.slow
def test_memory_is_the_estimate_of_the_library():
    config = VGGTConfig.vggt_1b(enable_track=False)
    plain = model.memory(config, 4, (392, 518), "grid", 0.0)
    assert plain.peak == estimate_memory(config, 4, 392, 518, autocast=torch.bfloat16).peak
    assert model.memory(config, 4, (392, 518), "grid", 0.5).blocks > plain.blocks

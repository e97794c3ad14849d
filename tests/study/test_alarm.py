"""The alarm, its rates, and the light mode of the advice."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from book.study import shipped
from book.study.practice import alarm, alarm_outcome, light, screen
from book.study.practice.advice import Forecast
from book.study.static_merging import Observers
from lib.costs import measure as runtime
from lib.costs.operations import attention_operations, forward_operations
from lib.run import Params, forward, load_model, prepare, run
from lib.vggt import VGGT, FixedScale, LengthScale, VGGTConfig
from lib.vggt.memory import InsufficientMemoryError, estimate_memory

PARAMS = Params(model="random", scene="denser:0", frames=12, m=0.0)


def turned(degrees):
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    poses = torch.zeros(len(degrees), 3, 4, dtype=torch.float64)
    poses[:, 2, 2] = 1
    poses[:, 0, 0] = poses[:, 1, 1] = angle.cos()
    poses[:, 1, 0], poses[:, 0, 1] = angle.sin(), -angle.sin()
    return poses


def test_disagreement_is_the_median_turn_since_frame_0_whatever_the_world():
    long, alone = turned([5.0, 15.0, 25.0, 65.0, 45.0]), turned([0.0, 20.0, 90.0])
    # turns since frame 0: 20 and 40 in the long run, 20 and 90 alone; torch's median is the lower one
    assert alarm.disagreement(long, alone, [0, 2, 4]) == pytest.approx(0.0, abs=1e-3)
    assert alarm.disagreement(long, alone[[0, 2]], [0, 4]) == pytest.approx(50.0)
    for chosen in ([0], [1, 2]):
        with pytest.raises(ValueError, match="frame 0"):
            alarm.disagreement(long, alone[: len(chosen)], chosen)


def test_few_frames_are_spread_and_hold_both_ends():
    assert alarm.spread_out(128, 4) == [0, 42, 85, 127]
    assert alarm.spread_out(3, 8) == [0, 1, 2]


def test_rates_count_what_they_say():
    signal, error = [1.0, 20.0, 30.0, 5.0, 12.0], [2.0, 40.0, 3.0, 50.0, 15.0]
    found = alarm.rates(signal, error, 10.0, 15.0)
    assert (found.heard, found.failing, found.false, found.working) == (1, 2, 2, 3)
    assert found.sensitivity.median == 0.5 and found.false_alarms.median == pytest.approx(2 / 3)
    assert found.sensitivity.low < 0.02 < 0.98 < found.sensitivity.high
    none = alarm.rates([1.0], [1.0], 2.0, 15.0).sensitivity
    assert np.isnan(none.median) and (none.low, none.high) == (0, 1)


def test_the_threshold_lies_in_the_widest_gap_that_tells_best():
    assert alarm.best_threshold([1, 2, 3, 9, 10], [0, 0, 0, 90, 90], 15.0) == 6
    assert alarm.best_threshold([1, 8, 3, 9, 12], [0, 0, 0, 90, 90], 15.0) == 8.5
    with pytest.raises(ValueError, match="both kinds"):
        alarm.best_threshold([1, 2], [0, 0], 15.0)


@pytest.mark.slow
def test_measured_signal_and_error_are_those_of_two_passes():
    found = alarm.measure(PARAMS, 3)
    model, _ = load_model(PARAMS)
    sequence = prepare(PARAMS, model).sequence
    chosen = alarm.spread_out(12, alarm.LEAST)
    long, alone = (
        forward(model, images, heads=["camera"]).extrinsics[0]
        for images in (sequence.images, sequence.images[chosen])
    )
    assert found["signal"][0] == pytest.approx(alarm.disagreement(long, alone, chosen), rel=1e-4)
    outcome = run(prepare(PARAMS, model))
    assert found["error"][0] == pytest.approx(outcome.measurements["rotation_from_frame_0"][0], rel=1e-4)
    true = sequence.extrinsics[chosen]
    assert found["error_alone"][0] == pytest.approx(alarm.disagreement(alone, true, range(8)), rel=1e-4)
    with pytest.raises(ValueError, match="above the 8"):
        alarm.measure(replace(PARAMS, frames=8), 3)


def test_what_is_known_of_training_lengths():
    assert shipped.trained_frames("mini") == 12 and shipped.trained_frames("mini", 5) == 5
    assert shipped.trained_frames(shipped.VGGT_1B) == 24
    with pytest.raises(ValueError, match="give trained"):
        shipped.trained_frames("random")


# ---- light mode --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def setup():
    return light.prepare(PARAMS)


def watched(setup):
    chosen = alarm.spread_out(setup.model.config.depth, light.BLOCKS)
    rules = light.considered(setup.layout, 0)
    first = light.FirstFrame(setup.model.config.depth, setup.model.config.heads, 0)
    forecast = Forecast(setup.model, list(rules.values()), chosen)
    return first, forecast, Observers([first, forecast])


@pytest.mark.slow
def test_light_reads_few_blocks_and_agrees_with_all_of_them(setup):
    first, forecast, both = watched(setup)
    run(setup, both)
    rules = list(light.considered(setup.layout, 0).values())
    full = Forecast(setup.model, rules)
    run(setup, full)
    few, every = forecast.arrays(), full.arrays()
    assert few["kept"].shape == (len(rules), 3) and sorted(first.share) == [0, 2, 3]
    np.testing.assert_allclose(few["branch_error"], every["branch_error"][:, [0, 2, 3]], rtol=1e-6)
    np.testing.assert_allclose(few["deviation"], every["deviation"], rtol=0.5)


def test_the_share_of_frame_0_is_that_of_attention(setup):
    uniform = light.FirstFrame(4, 2, 0)
    run(replace(setup, params=replace(setup.params, logit_scale="1e-6")), uniform)
    for share in uniform.share.values():
        assert share == pytest.approx(1 / 12, rel=1e-3)
        assert light.log_odds(share, 12) == pytest.approx(0, abs=0.01)
    assert light.log_odds(0.5, 12) == pytest.approx(np.log(11))


def test_the_bill_counts_passes_and_rehearsals(setup):
    config, layout, rules = setup.model.config, setup.layout, list(light.considered(setup.layout, 0).values())
    found = light.bill(config, layout, rules, 4)
    assert found.alone == forward_operations(config, replace(layout, frames=4)).total
    assert found.parts["the pass"] == forward_operations(config, layout).total
    n, c = layout.tokens, config.width
    matching = sum(rule.matching_operations(layout, c) for rule in rules)
    assert found.parts["rules in 3 blocks"] == 3 * (len(rules) * attention_operations(n, n, c) + matching)
    seconds = found.seconds(0.5)
    assert seconds["the pass"] == pytest.approx(0.5 * found.parts["the pass"] / found.alone)
    with pytest.raises(ValueError, match="minutes"):
        light.require_time(61, 1)
    light.require_time(59, 1)


@pytest.mark.slow
def test_memory_is_bounded_before_it_starts(setup, monkeypatch):
    _, _, observers = watched(setup)
    images = setup.sequence.images
    variant = runtime.Variant(None)
    model = lambda images, **_: setup.model(images, probe=observers)  # noqa: E731
    runtime.warm_up(model, images, variant)  # counts every allocation
    estimate = light.memory(setup)
    assert variant.peak_mib * 2**20 < estimate.activations < 4 * variant.peak_mib * 2**20
    assert set(setup.model.available_heads) == {"camera"}
    monkeypatch.setattr("lib.vggt.memory.available_memory", lambda device: 1000)
    with pytest.raises(InsufficientMemoryError, match="fewer frames"):
        light.prepare(PARAMS)


def test_remedies_are_those_of_the_law():
    layout = prepare(PARAMS).layout
    found = light.remedy(layout, 4)
    assert found.bias == pytest.approx(np.log(11 / 3))
    assert found.factor == LengthScale(4).factor(0, layout)
    assert light.remedy(layout, 12) == light.Remedy(0.0, 1.0)


def test_eight_hundred_frames_of_vggt_1b_fit_one_card_and_take_minutes():
    config = VGGTConfig.vggt_1b(enable_track=False)
    layout = config.layout(800, 392, 518)
    estimate = estimate_memory(config, 800, 392, 518, heads=("camera",), kept=1.0, dtype=torch.bfloat16)
    extra = 4 * light.FORECAST_ROWS * layout.tokens * config.width
    assert (estimate.weights + 1.5 * (estimate.activations + extra)) / 1e9 < 80
    account = light.bill(config, layout, list(light.considered(layout, 0).values()), 24)
    assert sum(account.parts.values()) < 1.6 * account.parts["the pass"]


@pytest.mark.parametrize("factor", [FixedScale(1.3), LengthScale(shipped.VGGT_1B_FRAMES)])
@pytest.mark.slow
def test_a_checkpoint_shaped_like_vggt_1b_takes_a_factor(factor):
    """On the meta device: shapes of the whole forward pass, no numbers."""
    config = VGGTConfig.vggt_1b(enable_track=False)
    with torch.device("meta"):
        model = VGGT(config).eval()
        images = torch.empty(48, 3, 28, 42)
    seen = []
    factor_of = type(
        "Spy", (), {"factor": lambda _, layer, layout: seen.append(factor.factor(layer, layout)) or seen[-1]}
    )
    found = model(images, logit_scale=factor_of(), heads=["camera"])
    assert found.pose_enc.shape == (1, 48, 9) and len(seen) == 24
    assert seen[0] == factor.factor(0, config.layout(48, 28, 42)) > 1


# ---- one screen and what was declared ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def machine():
    config = VGGTConfig.vggt_1b(enable_track=False)
    card = screen.Card(80, 312, "nowhere")
    return screen.Machine(
        config, (392, 518), 24, screen.efficiency(config, (392, 518), 500, 177.5, card)
    ), card


@pytest.mark.slow
def test_the_screen_says_what_fits_and_what_it_takes(machine):
    network, card = machine
    assert network.seconds(500, card) == pytest.approx(177.5)
    assert network.seconds(500, replace(card, peak=624)) == pytest.approx(177.5 / 2)
    assert 0.2 < network.seconds(800, card, merged=True) / network.seconds(800, card) < 0.3
    most = network.most_frames(card)
    assert network.gigabytes(most) <= 80 < network.gigabytes(most + 1)
    assert network.most_frames(replace(card, gigabytes=1)) == 0
    found = (
        screen.steps(network, 24, card),
        screen.steps(network, 100, card),
        screen.steps(network, most + 1, card),
    )
    assert found[0] == ["run it as it is"]
    assert found[1] == [
        f"bias {np.log(99 / 23):.2f} on the keys of frame 0 (or factor 1.14)",
        "middle frame first",
    ]
    assert found[2][0] == f"keep every 2nd frame, or cut into chunks of {most}"
    assert (
        f"bias {np.log(((most + 2) // 2 - 1) / 23):.2f}" in found[2][1]
        and "merge with size bias and bias" in found[2][3]
    )


@pytest.mark.slow
def test_rows_and_remedies_are_text(machine):
    network, card = machine
    one, other = screen.table(network, (24, 4000), {"card": card})
    assert (one["fits"], other["fits"], other["seconds"]) == ("yes", "no", "")
    row = screen.remedies(network, (100,), ((392, 518), (28, 28)))[0]
    assert row["bias on frame 0 (nats)"] == "1.46" and row["factor at 518 × 392 px"] == "1.141"
    assert float(row["factor at 28 × 28 px"]) > 1.2
    assert screen.load_cards()["A100 80 GB"].peak == 312


def test_outcomes_follow_from_the_record(monkeypatch):
    record = {"signal": np.array([20.0, 1.0, 30.0, 2.0]), "error": np.array([40.0, 50.0, 3.0, 4.0])}
    runs = {"fresh": type("Kept", (), {"record": record})}
    one, share, word = alarm_outcome.outcome("A1", runs)
    assert (share.median, word) == (0.5, "refuted") and one.above == 0.8
    assert alarm_outcome.outcome("A2", runs)[2] == "refuted"
    assert alarm_outcome.outcome("A3", runs)[1:] == (None, "open")
    record["error"] = np.array([40.0, 3.0, 30.0, 4.0])
    assert alarm_outcome.outcome("A1", runs)[2] == alarm_outcome.outcome("A2", runs)[2] == "kept"

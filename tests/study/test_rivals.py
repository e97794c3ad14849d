"""Frames, depth, tokens: the run on a tiny random network, and the arithmetic of the rival explanations."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from book.study.intervals import Interval, rank_correlation
from book.study.rivals import draw
from book.study.rivals import separate as rivals
from book.study.rivals.measure import (
    COMPANIES,
    frame_errors,
    measure,
    median_rotation,
    middle_first,
    overlap_with_first,
    walk_with_company,
)
from lib.geometry import relative_to_first
from lib.run import Outcome, Params, load_model, prepare, run
from lib.scenes.walks import walk


@pytest.fixture(scope="module")
def small():
    params = Params(model="random", scene="denser:0-1", frames=4, m=0.0)
    return params, load_model(params)[0]


@pytest.mark.slow
def test_a_reading_has_the_scenes_first_and_says_what_was_not_read(small):
    params, model = small
    reading = measure(params, model, attention=1, entropy=True, middle=True, added=2)
    tables = reading.known()
    assert reading.scenes == ("denser:0", "denser:1") and reading.kept == 1
    layers = model.config.depth
    assert tables["common"].shape == (2, layers)
    assert tables["scalars.stable_rank"].shape == (2, layers, 2)
    assert np.isfinite(tables["scalars.stable_rank"][0]).all()
    assert np.isnan(tables["scalars.stable_rank"][1]).all()
    shares = tables["common"] + tables["frame"] + tables["token"]
    assert shares == pytest.approx(1, abs=1e-5)
    assert tables["company.rotation"].shape == (2, len(COMPANIES))
    alone = tables["errors.rotation_from_frame_0"]
    assert tables["frames.rotation"][:, 1:].shape == (2, 3)
    assert np.median(tables["frames.rotation"][:, 1:], axis=1) == pytest.approx(alone, abs=1e-4)


@pytest.mark.slow
def test_merged_runs_state_what_was_kept(small):
    params, model = small
    reading = measure(replace(params, m=0.3, rule="uniform", scene="denser:0"), model, 1, entropy=True)
    assert reading.kept == pytest.approx(0.7, abs=0.02)
    assert (reading.tables["merged_bracket.size"] < reading.tables["bracket.size"]).all()


def test_negative_counts_are_refused(small):
    with pytest.raises(ValueError, match="-1"):
        measure(*small, added=-1)


def told(small, turn: torch.Tensor | None = None):
    """An outcome whose cameras are the true ones in another unit, turned by `turn` in every later frame."""
    params, model = small
    setup = prepare(replace(params, scene="longer:0", frames=5), model)
    outcome = run(setup)
    true = relative_to_first(setup.sequence.extrinsics.double())[None]
    guess = torch.cat([true[..., :3], 0.37 * true[..., 3:]], -1)
    if turn is not None:
        guess[0, 1:, :, :3] = turn @ guess[0, 1:, :, :3]
    return Outcome(setup, replace(outcome.prediction, extrinsics=guess), {}, 1.0)


@pytest.mark.slow
def test_the_truth_in_another_unit_has_no_error_and_a_turn_has_its_angle(small):
    exact = frame_errors(told(small))
    assert exact["rotation"] == pytest.approx(0, abs=1e-5) and exact["centre"] == pytest.approx(0, abs=1e-6)
    assert exact["distance"][0] == pytest.approx(0, abs=1e-6) and exact["distance"][1] > 0
    angle = math.radians(10)
    turn = torch.tensor(
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
    ).double()
    assert median_rotation(told(small, turn)) == pytest.approx(10, abs=1e-4)


def test_overlap_is_one_for_frame_0_and_falls_along_a_walk():
    seen = overlap_with_first(walk("longer", 0, 16, 48))
    assert seen[0] == pytest.approx(1) and seen[-1] < 0.2 < seen[4]
    still = walk("longer", 0, 2, 48).take([0, 0])
    assert overlap_with_first(still) == pytest.approx([1, 1])


def test_the_middle_frame_comes_first_and_nothing_is_lost():
    assert middle_first(5) == [2, 0, 1, 3, 4]
    assert sorted(middle_first(8)) == list(range(8))


@pytest.mark.slow
def test_companies_share_one_rendering_with_the_judged_frames(small):
    params, model = small
    setup = prepare(replace(params, scene="denser:0"), model)
    judged, company = walk_with_company(setup, 4)
    assert torch.allclose(judged.extrinsics, setup.sequence.extrinsics, atol=1e-5)
    assert {len(images) for images in company.values()} == {4}
    assert set(company) | {"alone", "copies"} == set(COMPANIES)


def test_powers_of_frames_and_their_shapes():
    frames = (8, 32, 128)
    errors = np.array([[3 * f**0.5, 2 * f**-0.25] for f in frames])
    assert rivals.growth_powers(errors, frames) == pytest.approx([0.5, -0.25])
    with pytest.raises(ValueError, match="lengths"):
        rivals.growth_powers(errors, (8, 32))


def test_ratios_are_paired_and_words_follow_the_yardstick():
    found = rivals.ratio([2.0, 4.0, 6.0, 1.0], [1.0, 2.0, 3.0], seed=0)
    assert (found.median, found.low, found.high) == pytest.approx((2, 2, 2))
    cases = {
        "up": Interval(2, 1.1, 3),
        "down": Interval(0.5, 0.3, 0.9),
        "same": Interval(1.05, 0.9, 1.2),
        "not clear": Interval(2, 0.8, 3),
    }
    assert {name: rivals.direction(found) for name, found in cases.items()} == {name: name for name in cases}
    assert rivals.score(("up", "same", None), ("up", "up", "up")) == (1, 2)
    assert rivals.score(("up",), ("not clear",)) == (0, 0)


def test_every_explanation_predicts_every_experiment():
    lengths = {len(predicted) for predicted in rivals.PREDICTIONS.values()}
    assert lengths == {len(rivals.EXPERIMENTS)}


def test_labels_name_the_lengths_of_the_runs():
    found = rivals.labels(few=8, more=32, many=64, longest=48)
    assert found["frames-4"].startswith("8 × as many") and found["long-path"].startswith("1.5 × as many")
    assert found["copies"] == "8 frames and 24 copies of them, over 8 alone"
    assert "{" not in "".join(found.values())


def test_rank_correlations():
    rng = np.random.default_rng(0)
    z = rng.normal(size=400)
    x, y = z + 0.1 * rng.normal(size=400), z**3 + 0.1 * rng.normal(size=400)
    assert rank_correlation(z, z**3) == pytest.approx(1)
    assert rank_correlation(x, y) > 0.9 > 0.2 > abs(rivals.partial_rank_correlation(x, y, z))
    assert math.isnan(rank_correlation([1, 1, 1], [1, 2, 3]))
    found = rivals.correlation_over_scenes(x[:20], y[:20], seed=0)
    assert found.low <= found.median <= found.high <= 1


@pytest.mark.parametrize("d", [1.5, 2.0, 3.0])
def test_a_stretched_curve_is_found_and_rescaling_aligns_it(d):
    layers = np.arange(24)
    base, other = np.exp(-layers / 4), np.exp(-layers / (4 * d))
    assert rivals.best_stretch(base, other) == pytest.approx(d, rel=0.1)
    assert rivals.rescaling_ratio(base, other, d) < 0.1
    assert rivals.rescaling_ratio(base, base + 0.01, d) > 1
    with pytest.raises(ValueError, match="reach"):
        rivals.curve_distance(base, other, 2.0, reach=20.0)


def test_rooms_against_frames_shows_every_room_mean_median_and_the_limit():
    errors = np.array([[1.0, 2.0, 6.0], [2.0, 3.0, 31.0]])
    (ax,) = draw.rooms_against_frames({"denser, trained on 4": ((8, 32), errors)}, 15.0).axes
    lines = [np.asarray(line.get_ydata(), float).tolist() for line in ax.lines]
    assert lines == [*errors.T.tolist(), [3.0, 12.0], [2.0, 3.0], [15.0, 15.0]]
    assert ax.get_title() == "denser,\ntrained on 4"


def test_every_explanation_stands_above_its_column():
    found = dict.fromkeys(rivals.EXPERIMENTS, Interval(2.0, 1.5, 3.0))
    words = dict.fromkeys(rivals.EXPERIMENTS, "up")
    _, right = draw.rivals_chart(rivals.EXPERIMENTS, found, words, rivals.PREDICTIONS, 1.25).axes
    labels = {round(t.get_position()[0]): t.get_text().replace("\n", " ") for t in right.get_xticklabels()}
    assert labels == dict(enumerate(rivals.PREDICTIONS))
    marks = {(t.get_position(), t.get_text()) for t in right.texts}
    assert ((0, 0), "↑ ✓") in marks and ((2, 0), "= ✗") in marks

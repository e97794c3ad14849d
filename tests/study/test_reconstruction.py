"""Cameras and geometry, merged and unmerged: errors that must vanish, and entropies against dense ones."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from book.study import paired
from book.study.intervals import correlation_interval, sign_interval
from book.study.reconstruction import draw
from book.study.reconstruction.measure import Entropies, measure, scene_errors, scene_facts
from book.study.static_merging import Observers
from lib import records
from lib.geometry import relative_to_first, unproject
from lib.merging import Setting, UniformRule
from lib.probe import Probe
from lib.run import Params, load_model, prepare, run
from lib.spectra import Budget

QUICK = Params(model="random", scene="rooms:3-4", frames=4, m=0.0, seed=1)
ERRORS = ("centres_relative", "chamfer_points_textbook", "chamfer_points_fastvggt", "chamfer_depth_textbook")


@pytest.fixture(scope="module")
def setup():
    return prepare(QUICK.each_scene()[0])


@pytest.fixture(scope="module")
def outcome(setup):
    return run(setup)


def truth_in_another_unit(outcome, scale=0.37):
    """What a perfect network would say: everything relative to frame 0, in a unit of its own."""
    sequence = outcome.setup.sequence
    cameras = relative_to_first(sequence.extrinsics.double())[None]
    points = unproject(sequence.depth.double(), cameras[0], sequence.intrinsics.double())
    cameras = torch.cat([cameras[..., :3], scale * cameras[..., 3:]], -1)
    return dataclasses.replace(
        outcome.prediction,
        extrinsics=cameras,
        intrinsics=sequence.intrinsics[None],
        depth=scale * sequence.depth.double()[None, ..., None],
        world_points=scale * points[None],
    )


def test_the_truth_in_another_unit_has_no_error(outcome):
    found = scene_errors(outcome.setup.sequence, truth_in_another_unit(outcome), points=2000, seed=0)
    ours = scene_errors(outcome.setup.sequence, outcome.prediction, points=2000, seed=0)
    for name in ERRORS:
        assert found[name][0] < 1e-5 < ours[name][0], name


def test_the_world_frame_does_not_matter(outcome):
    """Cameras of a world that is turned and moved are the same cameras as seen from frame 0."""
    prediction = truth_in_another_unit(outcome)
    turn = torch.linalg.qr(
        torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    )[0]
    turn = turn * torch.linalg.det(turn).sign()
    moved = prediction.extrinsics.clone()
    moved[..., 3:] += prediction.extrinsics[..., :3] @ torch.ones(3, 1, dtype=torch.float64)
    moved[..., :3] = prediction.extrinsics[..., :3] @ turn
    found = scene_errors(
        outcome.setup.sequence, dataclasses.replace(prediction, extrinsics=moved), points=500, seed=0
    )
    assert found["centres_relative"][0] < 1e-5


def test_without_truth_nothing_is_measured(outcome):
    sequence = dataclasses.replace(outcome.setup.sequence, extrinsics=None, depth=None)
    assert scene_errors(sequence, outcome.prediction, points=100, seed=0) == {}
    assert scene_facts(sequence) == {}


def test_facts_of_a_scene_are_those_of_a_camera_that_stands_still(outcome):
    facts, sequence = scene_facts(outcome.setup.sequence), outcome.setup.sequence
    still = torch.eye(3, 4).expand(1, len(sequence), 3, 4)
    found = scene_errors(sequence, dataclasses.replace(outcome.prediction, extrinsics=still), 100, 0)
    assert facts["still_rotation"][0] == pytest.approx(found["rotation_from_frame_0"][0], rel=1e-5)
    centres = np.linalg.inv(np.concatenate([sequence.extrinsics, [[[0, 0, 0, 1]]] * 4], 1))[:, :3, 3]
    assert facts["path"][0] == pytest.approx(np.linalg.norm(np.diff(centres, axis=0), axis=1).sum())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "uniform 0.5 unprotected", "fastvggt 0.5 biased"])
def test_entropies_are_those_of_the_probe(setup, name):
    seen, probe = Entropies(token_level=True), Probe(merged=True, bracket=Budget())
    run(dataclasses.replace(setup, rule=Setting.parse(name).merging(QUICK.seed)), Observers([seen, probe]))
    for layer, reading in zip(seen.layers, probe.readings, strict=True):
        heads = reading.heads
        assert layer["pooled_entropy"] == pytest.approx(np.mean([h.pooled.normalised_entropy for h in heads]))
        assert layer["token_entropy"] == pytest.approx(
            np.mean([h.bracket.normalised[1] for h in heads]), rel=1e-4
        )
        inner = [h.merged_bracket or h.bracket for h in heads]
        assert layer["merged_entropy"] == pytest.approx(np.mean([b.normalised[1] for b in inner]), rel=1e-4)
        rows = [h.scalars.normalised_row_entropy for h in heads]
        assert layer["row_entropy"] == pytest.approx(np.mean(rows), rel=1e-4)


@pytest.mark.slow
def test_table_of_two_scenes():
    table = measure(QUICK, ["uniform 0.5", "plain", "uniform 0.9 unprotected"], "pooled", points=200)
    assert table.settings == ["plain", "uniform 0.5", "uniform 0.9 unprotected"]
    assert table.scenes == ["rooms:3", "rooms:4"]
    assert table.values["kept"].round(1).tolist() == [[1.0, 1.0], [0.5, 0.5], [0.1, 0.1]]
    assert table.values["path"].shape == (2,)
    assert table.layers["layers.pooled_entropy"].shape == (3, 2, 4)
    alone = scene_errors(
        prepare(QUICK.each_scene()[1]).sequence, run(prepare(QUICK.each_scene()[1])).prediction, 200, 1
    )
    for name, (value, unit) in alone.items():
        assert table.values[name][0, 1] == pytest.approx(value, nan_ok=True), name
        assert table.units[name] == unit
    medians, unit = table.medians()["abs_rel"]
    assert len(medians) == 3 and unit == "1" and all(math.isfinite(m) for m in medians)


@pytest.mark.slow
def test_settings_make_rules():
    rule = Setting.parse("uniform 0.97 unprotected").merging(QUICK.seed)
    assert isinstance(rule, UniformRule) and rule.seed == QUICK.seed
    assert not (rule.protect_first_frame or rule.protect_special)
    assert Setting.parse("plain").merging(QUICK.seed) is None
    assert Setting.parse("grid 0.5 biased").merging(QUICK.seed).size_bias
    with pytest.raises(ValueError, match=r"m = 0\.9"):
        model, _ = load_model(QUICK)
        protected = Setting.parse("uniform 0.9").merging(QUICK.seed)
        run(dataclasses.replace(prepare(QUICK.each_scene()[0], model), rule=protected))


def test_bad_options_are_named():
    with pytest.raises(ValueError, match="dense"):
        measure(QUICK, [], "dense")


def record_of(plain, merged, frames=8):
    """A record with one error of two settings."""
    run = records.begin("lib.run", {"scene": "rooms:0", "frames": frames})
    values = {
        "error": np.array([plain, merged], float),
        "kept": np.array([[1.0] * len(plain), [0.5] * len(plain)]),
    }
    return run.finish({"settings": (["plain", "fastvggt 0.5"], "1")}, arrays=values)


def test_paired_comparison_sees_what_two_medians_hide():
    """A constant gain in scenes of very different difficulty: clear in pairs, lost between two groups."""
    plain = np.geomspace(1, 1000, 12)
    better = paired.compare(record_of(plain, plain - 0.5), "error", "fastvggt 0.5")
    assert better.side == "better" and better.change.median == pytest.approx(-0.5) and better.kept == 0.5
    assert better.relative.median == pytest.approx(-0.5 / np.median(plain))
    assert paired.compare(record_of(plain, plain + 0.5), "error", "fastvggt 0.5").side == "worse"
    wild = plain + np.where(np.arange(12) % 2, 1, -1)
    assert paired.compare(record_of(plain, wild), "error", "fastvggt 0.5").side == "unclear"


def test_scenes_without_the_error_are_left_out_and_a_foreign_setting_is_named():
    record = record_of([1, np.nan, 3], [2, 2, 4])
    assert paired.compare(record, "error", "fastvggt 0.5").change.median == 1.0
    with pytest.raises(ValueError, match="grid"):
        paired.compare(record, "error", "grid 0.5")


def test_rule_without_options_only():
    six = np.arange(6)
    found = paired.comparisons([record_of(six, six + 1)], ["error"], "fastvggt")
    assert [c.setting for c in found] == ["fastvggt 0.5"] and paired.share(found, "worse") == 1.0
    assert paired.comparisons([record_of([1, 2, 3], [2, 3, 4])], ["error"], "uniform") == []


@pytest.mark.parametrize(
    ("count", "rank"),
    [(5, 0), (6, 1), (8, 1), (9, 2), (10, 2), (16, 4), (20, 6)],  # tables of the sign test, two-sided 5 %
)
def test_the_exact_interval_of_a_median(count, rank):
    values = np.random.default_rng(count).permutation(count) ** 2.0
    found, ordered = sign_interval(values), np.sort(values)
    assert found.median == np.median(values)
    expected = (ordered[rank - 1], ordered[-rank]) if rank else (-np.inf, np.inf)
    assert (found.low, found.high) == expected


@pytest.mark.parametrize("count", [6, 8, 16])
@pytest.mark.slow
def test_the_exact_interval_holds_its_level(count):
    """Of 4,000 skewed samples at most one in twenty misses the median, within three standard errors."""
    samples = np.random.default_rng(0).exponential(size=(4000, count))
    found = [sign_interval(sample) for sample in samples]
    missed = np.mean([not i.low <= math.log(2) <= i.high for i in found])
    assert missed < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)


@pytest.mark.parametrize("values", [[], [1.0, math.nan]])
def test_no_median_without_finite_values(values):
    with pytest.raises(ValueError, match="only finite ones"):
        sign_interval(values)


def test_chance_flips_all_errors_of_a_room_together():
    """Two copies of one error are clearly worse together or not at all, so the shares are those of one."""
    change = np.arange(1, 11.0)
    record = record_of(np.zeros(10), change)
    record.arrays["copy"] = record.arrays["error"]
    share = paired.worse_by_chance([record], ["error", "copy"], "fastvggt", draws=4000, seed=0)
    assert set(share) == {0.0, 1.0}
    # clearly worse at ten rooms: at most one sign is negative, 11 of 1,024 ways
    assert abs(share.mean() - 11 / 1024) < 3 * math.sqrt(11 / 1024 / 4000)


def test_chance_leaves_out_rooms_without_the_error():
    record = record_of(np.zeros(10), [*range(1, 6), *[math.nan] * 5])
    assert (
        paired.worse_by_chance([record], ["error"], "fastvggt", 100, 0).max() == 0
    )  # five rooms decide nothing


def test_correlation_of_known_values():
    x = np.arange(30.0)
    line = correlation_interval(x, 3 - 2 * x, seed=0)
    assert (line.median, line.low, line.high) == pytest.approx((-1, -1, -1))
    assert correlation_interval(x, np.exp(x), seed=0, ranks=True).median == pytest.approx(1)
    noise = correlation_interval(x, np.random.default_rng(0).normal(size=30), seed=0)
    assert noise.low < 0 < noise.high
    with pytest.raises(ValueError, match="constant"):
        correlation_interval(x, np.ones(30), seed=0)


@pytest.mark.slow
def test_noise_alone_seems_to_help_where_the_baseline_is_bad():
    rng = np.random.default_rng(0)
    plain, merged = rng.normal(10, 1, 400), rng.normal(10, 1, 400)
    coupled, fair = paired.follows_baseline(merged, plain, seed=0)
    assert coupled.high < -0.5 and fair.low < 0 < fair.high


def test_difference_of_changes_is_paired_by_room():
    near, far = record_of([1, 2, 3], [1, 2, 3]), record_of([10, 20, 30], [8, 18, 28])
    assert paired.difference_of_changes(far, near, "error", "fastvggt 0.5").median == -2
    with pytest.raises(ValueError, match="pairs"):
        paired.difference_of_changes(far, record_of([1, 2], [1, 2]), "error", "fastvggt 0.5")


def test_the_slope_figure_shows_every_room_and_the_mean():
    before, after = np.array([1.0, 20.0]), np.array([2.0, 6.0])
    figure = draw.slopes(
        {"rotation (°)": (before, after), "jitter": (after, before)}, ("plain", "merged"), 15.0
    )
    rotation, jitter = figure.axes
    assert [line.get_ydata().tolist() for line in rotation.lines[:3]] == [[1, 2], [20, 6], [10.5, 4]]
    assert rotation.lines[3].get_ydata()[0] == 15 and len(jitter.lines) == 3
    assert [text.get_text() for text in rotation.get_xticklabels()] == ["plain", "merged"]


def test_rooms_against_m_draws_settings_of_the_rule_without_options():
    record = record_of([1.0, 4.0], [2.0, 6.0])
    record.arrays["rotation_from_frame_0"] = record.arrays["error"]
    (ax,) = draw.rooms_against_m({"8 frames": record}, ["rotation_from_frame_0"]).axes
    assert [line.get_ydata().tolist() for line in ax.lines] == [[1, 2], [4, 6], [2.5, 4]]
    assert ax.lines[0].get_xdata().tolist() == [0.0, 0.5]
    assert {"1", "2", "5"} >= {text.get_text() for text in ax.get_yticklabels()} >= {"2", "5"}
    (ax,) = draw.rooms_against_m({"8 frames": record}, ["rotation_from_frame_0"], "uniform").axes
    assert len(ax.lines[0].get_xdata()) == 1


def test_the_map_of_changes_is_clear_where_nothing_changes() -> None:
    """Its words have the ink of the page: on the page's own ground they are read in both themes."""
    found = [
        SimpleNamespace(
            scenes="a", frames=8, setting=f"fastvggt {m}", error="ate_centres", side="unclear", kept=0.5,
            relative=SimpleNamespace(median=change),
        )
        for m, change in ((0.3, 0.0), (0.7, -1.0))
    ]  # fmt: skip
    ax = draw.table_of_changes(found, {("a", 8): "8 frames"}).axes[0]  # type: ignore[arg-type]
    (drawn,) = ax.images
    clear, strong = drawn.cmap(drawn.norm(drawn.get_array()))[0]
    assert clear[3] < 0.01 and 0.5 < strong[3] < 0.7
    assert [text.get_text() for text in ax.texts[:2]] == ["0", "−100"]

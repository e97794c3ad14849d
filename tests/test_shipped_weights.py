"""The mini VGGT that ships: it loads, is small, is what its record says, and figures read that record."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from book.study import shipped
from book.study.intervals import median_interval
from lib.records.fingerprints import versions
from lib.records.store import StaleResultError
from lib.scenes.rooms import LARGE_ROOMS, RoomStyle, render_sequence
from lib.scenes.walks import SPAN
from lib.training.config import TrainConfig
from lib.training.evaluation import STRIDE, predict, sequence_errors
from lib.vggt.checkpoint import load

MEBIBYTE = 2**20
# Other releases of torch and other processors sum in another order; errors of a bend in a path amplify that.
RELATIVE, ABSOLUTE = 2e-3, 1e-3


@pytest.fixture(scope="module")
def report() -> shipped.Report:
    return shipped.read_report()


def test_weights_are_small_and_their_record_is_theirs(report: shipped.Report) -> None:
    assert shipped.SHIPPED.stat().st_size <= 16 * MEBIBYTE
    assert report["sequences"] > 0 and report["steps"] > 0 and report["seconds"] > 0
    for key in ("commit", "device", "losses", "validations", "versions", "sequences_with_parents"):
        assert report[key], key


def test_weights_load_with_the_config_of_their_run(report: shipped.Report) -> None:
    model = load(shipped.SHIPPED)
    assert model.config == TrainConfig.from_dict(report["config"]).model
    assert sum(parameter.numel() for parameter in model.parameters()) == report["parameters"]


@pytest.mark.slow
@pytest.mark.parametrize("walk", ["longer", "denser", "large"])
def test_recorded_errors_are_reproduced(report: shipped.Report, walk: str) -> None:
    """One held-out room of each kind of walk, at 8 frames, every error of the record."""
    side, frames, room = load(shipped.SHIPPED).config.image_size, 8, 1
    stride = SPAN / (frames - 1) if walk == "denser" else STRIDE
    style = LARGE_ROOMS if walk == "large" else RoomStyle()
    sequence = render_sequence(room, frames, side, side, stride=stride, style=style)
    found = sequence_errors(predict(load(shipped.SHIPPED)), sequence)
    assert "rotation_deg" in found and "abs_rel" in found
    for name, value in found.items():
        recorded = shipped.errors(report, walk, frames, "model", name)[room]
        assert value == pytest.approx(recorded, rel=RELATIVE, abs=ABSOLUTE), (name, versions())


def test_the_recorded_oracle_is_exact_and_the_model_has_learned(report: shipped.Report) -> None:
    for walk in shipped.walks(report):
        for frames in shipped.lengths(report, walk):
            for error in ("rotation_deg", "centres_relative", "abs_rel", "points_relative"):
                assert shipped.errors(report, walk, frames, "oracle", error).max() < 1e-6
    for error in ("rotation_deg", "centres_relative", "abs_rel"):
        model, still = (shipped.middle(report, "longer", 8, who, error).median for who in ("model", "still"))
        assert model < still, error


def test_a_record_of_other_weights_is_refused(tmp_path: Path) -> None:
    weights = tmp_path / "mini.safetensors"
    shutil.copy(shipped.SHIPPED, weights)
    with pytest.raises(StaleResultError, match="no record"):
        shipped.read_report(weights)
    record = json.loads(shipped.SHIPPED.with_suffix(".json").read_text())
    weights.with_suffix(".json").write_text(json.dumps(record))
    assert shipped.read_report(weights)["weights"] == record["weights"]
    for wrong in (record | {"weights": "0"}, record | {"evaluation": {}}):
        weights.with_suffix(".json").write_text(json.dumps(wrong))
        with pytest.raises(StaleResultError, match="evaluate"):
            shipped.read_report(weights)
    weights.unlink()  # too many to ship: the record stands, if it is complete
    with pytest.raises(StaleResultError, match="evaluate"):
        shipped.read_report(weights)
    weights.with_suffix(".json").write_text(json.dumps(record))
    assert shipped.read_report(weights)["weights"] == record["weights"]


def made_up(gap: float) -> shipped.Report:
    """A record in which the model's error is the room's number and the baseline's `gap` more."""
    rooms = [float(room) for room in range(9)]
    names = ("rotation_deg", "centres_relative", "ate_relative", "abs_rel")
    values = {"model": rooms, "still": [r + gap for r in rooms], "oracle": [0.0] * 9}
    rows = [
        {"walk": walk, "frames": S, "who": who} | {name: {"values": v} for name in names}
        for walk in ("longer", "denser", "large")
        for S in (8, 2)
        for who, v in values.items()
    ]
    rows[0]["ate_relative"] = {"values": [None] * 9}
    curve = [{"step": 1, "camera": 2.0}, {"step": 2, "camera": 1.0}]
    checks = [{"step": 2, "rot_deg": 3.0, "rot_identity_deg": 4.0}]
    return {"evaluation": {"rows": rows}, "losses": curve, "validations": checks}


def test_comparisons_are_paired() -> None:
    words = [shipped.better(made_up(gap), "longer", 8, "rotation_deg") for gap in (1e-3, 0.0, -1e-3)]
    assert words == ["below", "not clearly different from", "above"]
    assert shipped.lengths(made_up(0), "longer") == [2, 8]
    with pytest.raises(KeyError, match="no row"):
        shipped.errors(made_up(0), "longer", 5, "model", "abs_rel")


def test_bootstrap_interval_covers_and_is_reproducible() -> None:
    generator = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        found = median_interval(generator.normal(size=25), seed, draws=400)
        hits += found.low <= 0 <= found.high
    assert 0.88 < hits / 200 < 1
    assert median_interval([3.0], 0) == median_interval([3.0], 1)
    assert str(median_interval([3.0], 0)) == "3 (3 … 3)"
    assert median_interval(range(50), 0) == median_interval(range(50), 0)
    for bad in ([], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="at least one value"):
            median_interval(bad, 0)


@pytest.mark.slow
def test_figures_show_the_record() -> None:
    draw = pytest.importorskip("book.study.models.draw")
    import matplotlib.pyplot as plt

    losses, checks = draw.learning_curves(made_up(1.0)).axes
    assert list(losses.lines[0].get_ydata()) == [2.0, 1.0]
    assert [list(line.get_ydata()) for line in checks.lines] == [[3.0], [4.0]]
    figure = draw.errors_by_frames(made_up(1.0), trained=4)
    assert len(figure.axes) == 12
    model, still = (np.asarray(box[0].get_ydata()) for box in figure.axes[0].containers)
    assert model.tolist() == [4.0, 4.0] and still.tolist() == [5.0, 5.0]
    ate = figure.axes[6].containers  # the first length of longer walks has no ATE
    assert [len(box[0].get_ydata()) for box in ate] == [1, 2]
    picture = np.zeros((3, 4, 4))
    assert len(draw.gallery({"a": [picture, picture], "b": [picture[0], picture[0]]}).axes) == 5
    plt.close("all")


def test_comparison_runs_are_those_of_their_records_and_differ_in_training_length() -> None:
    draw = pytest.importorskip("book.study.models.draw")
    import matplotlib.pyplot as plt

    files = {name: shipped.SHIPPED.with_name(f"{name}.safetensors") for name in draw.FAMILY}
    reports = {name: shipped.read_report(path) for name, path in files.items()}
    assert [report["config"]["most_frames"] for report in reports.values()] == [4, 4, 12, 24, 24]
    ax = draw.errors_by_training_length(reports).axes[0]
    for report, box in zip(reports.values(), ax.containers, strict=True):
        frames = shipped.lengths(report, "denser")
        medians = [np.median(shipped.errors(report, "denser", S, "model", "rotation_deg")) for S in frames]
        assert np.allclose(box[0].get_ydata(), medians)
    table = pytest.importorskip("book.study.family.draw").portraits(reports)
    shown = [cell.split(", ")[1] for cell in table["thousand sequences, images"]]
    assert shown == [f"{report['frames'] / 1000:.0f}" for report in reports.values()]
    at_8 = np.median(shipped.errors(reports["mini"], "denser", 8, "model", "rotation_deg"))
    assert table.loc["mini", "8 frames"].startswith(f"{at_8:.2g} (")
    plt.close("all")


def test_tables_say_whether_a_target_is_met(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = pytest.importorskip("book.study.models.draw")
    row = shipped.Target("error", "abs_rel", 4.0, "")
    for limit, word in ((3.9, "no"), (4.0, "yes, but its interval reaches beyond"), (9.0, "yes")):
        monkeypatch.setattr(draw, "TARGETS", (dataclasses.replace(row, limit=limit),))
        (line,) = draw.targets_table(made_up(1.0), 2).to_dict("records")
        assert (line["met?"], line["measured"], line["standing still"]) == (word, "4", "5")
    table = draw.errors_table(made_up(1.0), "large")
    assert table.index.tolist() == [2, 8] and table.loc[8].tolist() == [9, *["4", "5"] * 3]

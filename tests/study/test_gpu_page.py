"""The page about a GPU: every job has its table, and what came home is shown as it was measured."""

import pandas as pd
import pytest

from benchmarks.gpu.command import JOBS
from book.study.gpu import draw
from lib import records


def kept(folder, job, params, measurements, kept=None):
    """Keep one record of a job, as `--unpack` does."""
    run = records.begin(draw.experiment(job), params | {"device": "cuda"})
    pairs = {name: (value, "1") for name, value in measurements.items()}
    return records.save(run.finish(pairs, kept), folder / "cuda-card")


def test_every_job_of_the_command_has_its_words_and_its_table():
    assert list(draw.JOBS) == list(JOBS) == list(draw.TABLES)
    assert all({*words} == {"measures", "decides"} for words in draw.JOBS.values())


def test_without_records_there_is_nothing_to_show(tmp_path):
    assert draw.cards(tmp_path) == [] and draw.banner("table2", tmp_path) is None
    assert all(draw.table(job, tmp_path).empty for job in draw.JOBS)


def test_a_rule_is_set_against_the_plain_model_of_its_length_on_one_card(tmp_path):
    for name, frames, seconds in (
        ("plain", 50, 4.0),
        ("plain", 500, 40.0),
        ("uniform m=0.9", 500, 6.0),
        ("uniform m=0.9", 50, 3.0),
        ("uniform m=0.9", 100, 1.0),
        ("uniform m=0.5", 50, 2.0),
    ):
        found = {f"{name}: whole, wall": [seconds], "frames": frames}
        kept(tmp_path, "table2", {"frames": frames, "variant": name}, found)
    measured = draw.measured("table2", tmp_path)
    pairs = draw.relative(measured, "uniform", 0.9)
    assert pairs == {50: 0.75, 500: 0.15} and list(pairs) == [50, 500]
    assert draw.relative(measured, "grid", 0.9) == {}


def test_times_are_relative_to_the_plain_pass_of_the_same_length(tmp_path):
    parts = ("aggregator", "attention", "matching", "whole")
    for name, frames, seconds in (("plain", 50, 4.0), ("uniform m=0.5", 50, 1.0), ("grid m=0.5", 100, 9.0)):
        found = {f"{name}: {part}, wall": [seconds, seconds] for part in parts}
        found |= {f"{name}: kept": 0.5, f"{name}: peak": 2048.0, f"{name}: kernel": "flash", "frames": frames}
        kept(tmp_path, "table2", {"frames": frames, "variant": name}, found)
    kept(tmp_path, "table2", {"frames": 500, "variant": "plain"}, {"refused": "out of memory"})
    kept(tmp_path, "table2", {"frames": 2, "variant": "plain", "rehearsal": True}, {"frames": 2})
    rows = draw.table2(draw.measured("table2", tmp_path))
    assert [(row["frames"], row["variant"]) for row in rows] == [
        (50, "plain"),
        (50, "uniform m=0.5"),
        (100, "grid m=0.5"),
    ]
    assert [row["relative"] for row in rows[:2]] == [1.0, 0.25] and rows[2]["relative"] != rows[2]["relative"]
    assert rows[0]["peak, GiB"] == 2.0 and draw.banner("table2", tmp_path) is None
    assert len(draw.cards(tmp_path)) == 1


def test_a_column_that_says_the_same_in_every_row_is_said_once():
    table = pd.DataFrame({"frames": [50, 50], "kernel": ["cudnn"] * 2, "variant": ["plain", "grid"]})
    short, alike = draw.without_repeats(table)
    assert list(short.columns) == ["frames", "variant"] and alike == "kernel: cudnn"
    whole, nothing = draw.without_repeats(table[:1])
    assert list(whole.columns) == list(table.columns) and nothing == ""


def test_the_worst_output_counts_and_equal_pairs_stand_apart(tmp_path):
    found = {"fp32: depth": 1e-6, "fp32: pose_enc": 3e-6, "bf16: depth": 1e-3, "fp32: equal pairs": 1.0}
    kept(tmp_path, "parity", {"what": "forward", "variant": "uniform"}, found)
    kept(tmp_path, "parity", {"what": "facts"}, {"card": "x"})
    (row,) = draw.parity(draw.measured("parity", tmp_path))
    assert row == {"pass": "uniform", "fp32": 3e-6, "equal pairs, fp32": 1.0, "bf16": 1e-3}


def test_rooms_of_all_records_are_put_together(tmp_path):
    for first, values in ((1000, [1.0, 3.0]), (1002, [5.0, None])):
        params = {"frames": 8, "rooms": [first, first + 2]}
        kept(
            tmp_path, "lengths", params, {"mini, plain: abs_rel": values, "mini, plain: ate_centres": values}
        )
    (row,) = draw.lengths(draw.measured("lengths", tmp_path))
    assert row == {"network and arm": "mini, plain", "frames": 8, "rooms": 3, "AbsRel": 3.0}


@pytest.mark.slow
def test_heads_depths_and_stretches(tmp_path):
    head = {"block 0, float32: stable_rank": 2.0, "block 0, float32: bracket entropy": 1.5, "tokens": 99}
    kept(tmp_path, "spectra", {"network": "mini"}, head)
    (row,) = draw.spectra(draw.measured("spectra", tmp_path))
    assert (row["stable rank"], row["H"], row["tokens"]) == (2.0, 1.5, 99)
    kept(tmp_path, "thousand", {"what": "depth", "frames": 20}, {"global: gamma": [0.1, 0.2, 0.9]})
    kept(tmp_path, "thousand", {"what": "pass", "frames": 1000, "variant": "plain"}, {"refused": "too large"})
    rows = {row["frames"]: row for row in draw.thousand(draw.measured("thousand", tmp_path))}
    assert rows[20]["γ, last block"] == 0.9 and rows[1000]["refused"] == "too large"
    found = {"step": 10, "sequences": 20, "training": 30.0, "frames": 640, "validation": [9.0, 7.0]}
    kept(tmp_path, "training", {"network": "patch4", "part": 2}, found)
    (row,) = draw.training(draw.measured("training", tmp_path))
    assert row["network"] == "patch4" and (row["steps"], row["images"], row["s"]) == (10, 640, 30.0)
    assert row["rotation on validation rooms, °"] == 7.0


def test_small_numbers_keep_their_digits():
    shown = [draw.digits(value) for value in (3e-6, 0.5, 0.0, 12, "flash", -2.0)]
    assert shown == ["3.0·10⁻⁶", "0.500", "0.000", "12", "flash", "−2.000"]


@pytest.mark.parametrize("job", draw.JOBS)
def test_a_table_can_be_shown(job, tmp_path):
    assert draw.table(job, tmp_path).style.hide(axis="index").to_html()

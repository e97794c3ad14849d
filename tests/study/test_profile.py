"""Profiles: what plays the part of the network, the scenes and the lengths of the shipped book."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from book import plan
from book.study import profile
from book.study.entries import EntryError
from book.study.profile import NotMeasured, Profile
from lib import records
from lib.sweep.estimates import Earlier
from lib.sweep.jobs import Job

FUSION, ALARM, NETWORKS = "book/runs/fusion.ipynb", "book/runs/alarm.ipynb", "book/runs/networks.ipynb"
SMALL = """
title: Small
scenes_are: two pieces of a video
networks: {tested: here/net.safetensors}
trained: {tested: 24}
walks:
  denser: {range: "${VIDEO}#{count}", one: "${VIDEO}"}
scenes: 2
frames: 100
lengths: {8: 6}
strengths: {0.7: 0.5}
seeds: {35: 34}
device: cpu
dtype: float32
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    """A profile of another network on pieces of a video."""
    monkeypatch.setenv("VIDEO", "my/video")
    path = tmp_path / "small.yml"
    path.write_text(SMALL)
    return profile.read(str(path))


def test_the_shipped_book_asks_for_what_its_roles_are() -> None:
    book = profile.default()
    assert book.adapt(FUSION, {"m": 0.5}) == {"m": 0.5}
    asked = {"model": "short-trained", "scene": "denser:0-3"}
    assert book.adapt(FUSION, asked) == {"model": "trained-to-4", "scene": "denser:0-3"}
    assert book.scene("photographs:0-3").endswith("seq-01#4")
    assert book.adapt(FUSION, {"model": "../networks/another.safetensors"})["model"].endswith(
        "another.safetensors"
    )


def test_every_role_has_its_value_in_another_profile(small: Profile) -> None:
    asked = {"scene": "denser:4-15", "frames": 8, "m": 0.7, "seed": 35}
    found = small.adapt(FUSION, asked)
    assert found == {
        "model": "here/net.safetensors",
        "scene": "my/video#2",
        "frames": 6,
        "m": 0.5,
        "seed": 34,
    }
    assert small.adapt(FUSION, {"m": 0.3}) == {
        **{"m": 0.3, "model": "here/net.safetensors", "scene": "my/video#2", "frames": 6}
    }
    assert small.scene("denser:3") == "my/video"


def test_a_training_length_goes_with_its_network(small: Profile) -> None:
    whole = replace(small, networks={**small.networks, "short-trained": "b"}, trained={"short-trained": 7})
    found = whole.adapt(ALARM, {"logit_scale": "length 4", "scene": "denser:0-1"})
    assert (found["trained"], found["logit_scale"], found["model"]) == (7, "length 7", "b")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"model": "long-trained"}, "nothing for the network long-trained"),
        ({"scene": "longer:0-3"}, "nothing for the scenes longer:0-3"),
        ({"frames": 512}, "takes at most 100 frames"),
    ],
)
def test_a_run_that_a_profile_cannot_do_has_a_reason(
    small: Profile, asked: dict[str, object], reason: str
) -> None:
    with pytest.raises(NotMeasured, match=reason):
        small.adapt(FUSION, asked)
    assert small.adapted(FUSION, asked) is None
    with pytest.raises(NotMeasured, match="no tracks"):
        replace(small, without={"fusion": "no tracks"}).adapt(FUSION, {})


def test_a_folder_that_the_reader_has_not_named_is_asked_for(
    small: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VIDEO")
    with pytest.raises(NotMeasured, match="environment variable VIDEO is not set"):
        small.scene("denser:0")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title: Small", "", "'title' missing"),
        ("frames: 100", "frame: 100", "unknown 'frame'"),
        ("{tested: here", "{tetsed: here", "unknown tetsed; the roles are tested"),
        ("frames: 100", "frames: many", "expected int"),
        ("{8: 6}", "{eight: 6}", "int: int pairs"),
        ("device: cpu", "device: tpu", "'tpu' is none of cpu, cuda"),
        ("dtype: float32", "dtype: bfloat16", "runs compute in float32"),
        (', one: "${VIDEO}"', "", "expected `range` and `one`"),
        ("device: cpu", "device: cpu\ndevice: cpu", "'device' stands here twice"),
    ],
)
def test_a_slip_in_a_profile_is_one_error(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SMALL
    path = tmp_path / "slip.yml"
    path.write_text(SMALL.replace(old, new))
    with pytest.raises(EntryError, match=message):
        profile.read(str(path))


@pytest.mark.parametrize("path", sorted(profile.FOLDER.glob("*.yml")), ids=lambda path: path.stem)
def test_the_profiles_that_ship_are_valid(path: Path) -> None:
    assert profile.read(path.stem).name == path.stem


def test_a_sentence_must_hold_in_the_shipped_book_and_is_noted_in_another(
    small: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile, "SAID", [])
    with pytest.raises(AssertionError, match="the text says: merging helps"):
        profile.says(False, "merging helps")
    monkeypatch.setattr(profile, "BOOK", small)
    profile.says(False, "merging helps")
    assert profile.SAID == [("merging helps", False)]


@pytest.mark.slow
def test_what_is_missing_in_another_profile_says_why(
    small: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = {"denser": ("denser:{first}-{last}", "denser:{first}")}
    monkeypatch.setattr(profile, "BOOK", replace(small, walks=rooms))
    monkeypatch.setattr(records, "RECORDS", tmp_path)
    with pytest.raises(NotMeasured, match=r"the run 'far' .* \(frames = 8\) has not been made"):
        profile.measured_runs(FUSION, {"far": {"scene": "denser:0-1", "frames": 8}})["far"]
    with pytest.raises(NotMeasured, match=r"fusion has not run with model = .*, m = 0\.3"):
        profile.load(FUSION, m=0.3, scene="denser:0-1")


def test_parameters_for_a_reader_have_no_folder_and_no_brackets() -> None:
    asked = {"scene": "/home/me/kitchen#6", "strengths": [0.3, 0.7], "settings": [], "frames": 8}
    told = "scene = kitchen#6, strengths = 0.3 and 0.7, settings = none, frames = 8"
    assert profile.told(asked) == told
    assert [profile.scene_name(scene) for scene in ("denser:0-1", "a/b#0/4", "a/b")] == [
        "denser:0-1",
        "b#0/4",
        "b",
    ]


def test_several_lengths_of_one_run_are_those_of_the_profile(small: Profile) -> None:
    found = small.adapt(NETWORKS, {"lengths": [6, 8, 32]})
    assert found["lengths"] == [6, 32]
    with pytest.raises(NotMeasured, match="takes at most 100 frames"):
        small.adapt(NETWORKS, {"lengths": [8, 128]})


@pytest.mark.parametrize(
    ("params", "frames"),
    [
        ({}, 32),
        ({"frames": 8}, 8),
        ({"frames": 8, "long": 128}, 128),
        ({"frames": 8, "lengths": [4, 64]}, 64),
    ],
)
def test_the_plan_reckons_with_the_longest_pass(params: dict[str, object], frames: int) -> None:
    assert plan.longest(params) == frames


def test_a_run_costs_what_the_nearest_earlier_one_did_times_the_ratio_of_operations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(seconds: float, device: str) -> Earlier:
        return Earlier({"frames": 1, "device": device}, seconds, 1000, None, None, "2026")

    monkeypatch.setattr(plan, "operations_of", lambda params: 1e9 * params["frames"])
    monkeypatch.setattr(plan, "memory_of", lambda params: 5.0)
    before = [(1e9, run(2.0, "cpu")), (8e9, run(20.0, "cpu")), (4e9, run(1.0, "cuda:0"))]
    job = Job(records.Provenance(FUSION, {"frames": 4, "device": "cpu"}, {}, {}, {}))
    assert plan.cost(job, before, 1e9) == plan.Cost(plan.START + 10.0, 5.0, 500.0, True)
    assert plan.cost(job, before[2:], 1e9) == plan.Cost(plan.START + 4.0, 5.0, plan.RECORD, False)


@pytest.mark.slow
def test_a_plan_says_what_is_missing() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "BOOK_SCANNET"} | {"BOOK_PROFILE": "vggt-1b"}
    said = subprocess.run(
        [sys.executable, "-m", "book.plan"], cwd=records.ROOT, env=environment, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    assert re.search(r"[1-9]\d* not here: the environment variable BOOK_SCANNET is not set", said.stdout)

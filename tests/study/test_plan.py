"""The plan of a build: what its runs take, from what earlier ones took."""

import json
from pathlib import Path

import pytest

from book import plan
from lib import records, sweep
from lib.run import random_config

FUSION = "book/runs/fusion.ipynb"
RUN = {"model": "random", "scene": "denser:0-1", "frames": 8}


def job(experiment: str = FUSION, **params: object) -> sweep.Job:
    """A run, with a key of nothing."""
    return sweep.Job(records.Provenance(experiment, RUN | {"device": "cpu"} | params, {}, {}, {}))


def write(folder: Path, name: str, seconds: float, **other: object) -> None:
    """A record of a run that took so long, with 1,000 bytes of arrays."""
    content = {
        "experiment": FUSION,
        "params": RUN,
        "device": "cpu x86_64",
        "seconds": seconds,
        "started": name,
    }
    (folder / f"fusion-{name}.json").write_text(json.dumps(content | other))
    (folder / f"fusion-{name}.npz").write_bytes(bytes(1000))


def test_a_random_model_is_counted_as_the_small_network_that_it_is() -> None:
    assert plan.config_of("random") == random_config()
    assert plan.config_of("facebook/VGGT-1B").depth == 24
    small = plan.memory_of({"model": "random", "scene": "rooms:0", "frames": 8})
    large = plan.memory_of({"model": "facebook/VGGT-1B", "scene": "rooms:0", "frames": 8})
    assert small < 1e9 < 5e9 < large


def test_memory_has_the_frames_of_every_scene() -> None:
    one, four = (plan.memory_of(RUN | {"scene": scene}) for scene in ("rooms:0", "rooms:0-3"))
    side = random_config().image_size
    assert four - one == 3 * (3 * 4 * 8 * side**2)
    assert plan.memory_of(RUN | {"long": 64}) > plan.memory_of(RUN)


def test_seconds_and_disk_are_those_of_the_nearest_earlier_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "RECORDS", tmp_path)
    monkeypatch.setattr(records, "ROOT", tmp_path)
    monkeypatch.setattr(records, "MEASUREMENTS", tmp_path / "none")
    write(tmp_path, "near", 10.0)
    write(tmp_path, "far", 1000.0, params=RUN | {"scene": "denser:0-19"})
    write(tmp_path, "gpu", 0.1, device="cuda H100", params=RUN | {"device": "cuda"})
    write(tmp_path, "another", 0.1, experiment="book/runs/rivals.ipynb")
    write(tmp_path, "no_scenes", 0.1, params={"seed": 0})
    (tmp_path / "fusion-damaged.json").write_text("{")
    before = plan.counted(FUSION)
    assert len(before) == 3
    same = plan.cost(job(), before, 1e10)
    twice = plan.cost(job(scene="denser:0-3"), before, 1e10)
    assert same.known and same.seconds == pytest.approx(plan.START + 10)
    assert twice.seconds == pytest.approx(plan.START + 20) and twice.disk == pytest.approx(2 * same.disk)
    assert same.disk > 1000
    assert plan.cost(job(device="cuda:1"), before, 1e10).seconds == pytest.approx(plan.START + 0.1)


def test_a_notebook_that_never_ran_is_counted_by_its_operations() -> None:
    found = plan.cost(job(), [], 1e10)
    assert not found.known
    assert found.seconds == pytest.approx(plan.START + plan.operations_of(RUN) / 1e10)


def test_the_plan_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "RECORDS", tmp_path)
    monkeypatch.setattr(records, "ROOT", tmp_path)
    monkeypatch.setattr(records, "MEASUREMENTS", tmp_path / "none")
    write(tmp_path, "near", 114.0)
    said = plan.lines([job(), job(m=0.5)], [job(m=0.5)], 1e10)
    assert said[:3] == [
        "2 runs: 1 current, 1 to run",
        "    1 of fusion",
        "about 2 minutes of one worker: 1 by earlier runs, 0 by operations at 1e+10 a second",
    ]
    assert said[3] == "about 0.4 GB of memory in the largest run"

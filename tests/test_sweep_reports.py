"""What a sweep knows of earlier runs: their time, their memory, and what failed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import small_book

from lib import records, sweep
from lib.records import Provenance, peaks
from lib.sweep import estimates, failures
from lib.sweep.place import Place

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes records of runs that never were, in a project of their own."""
    monkeypatch.setattr(records, "ROOT", tmp_path)
    monkeypatch.setattr(records, "RECORDS", tmp_path / "records")
    monkeypatch.setattr(records, "MEASUREMENTS", tmp_path / "measurements")
    monkeypatch.setattr(records, "path_of", lambda origin: tmp_path / "records" / f"none-{origin.key}.json")

    def written(params: dict[str, Any], seconds: float, **more: Any) -> Path:
        about = {"experiment": "book/runs/none.ipynb", "params": params, "kept": None, "device": "none"}
        about |= {part: {} for part in ("code", "weights", "data", "versions", "measurements")}
        path = job(**params).record
        path = more.pop("folder", path.parent) / more.pop("name", path.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(about | {"seconds": seconds, "started": "2026-01-01"} | more))
        return path

    return written


def job(**params: Any) -> sweep.Job:
    return sweep.Job(Provenance("book/runs/none.ipynb", params, {}, {}, {}))


def guess(**params: Any) -> estimates.Likely | None:
    return estimates.likely(job(**params), estimates.earlier("book/runs/none.ipynb"))


def test_a_run_will_take_what_the_most_similar_one_took(write: Write) -> None:
    write({"frames": 8, "rule": "plain", "device": "cpu"}, 10, memory=500.0)
    write({"frames": 64, "rule": "plain", "device": "cpu"}, 80, memory=900.0)
    write({"frames": 64, "rule": "merged", "device": "cpu"}, 40)
    write({"frames": 8, "rule": "plain", "device": "cuda:0"}, 1, memory=100.0, gpu_memory=2048.0)
    likely = estimates.Likely
    assert guess(frames=64, rule="plain", device="cpu", seed=7) == likely(80, 900.0, None, True)
    assert guess(frames=10, rule="plain", device="cpu") == likely(10, 500.0, None, False)
    assert guess(frames=60, rule="merged", device="cpu") == likely(40, None, None, False)
    assert guess(frames=64, rule="merged", device="cuda:1") == likely(1, 100.0, 2048.0, False)
    assert guess(frames=8, rule="plain", device="mps") is None


def test_newest_of_equals_measurements_too_and_nothing_from_damaged_or_others(write: Write) -> None:
    write({"m": 0.5}, 1, started="2026-02-01", name="none-1.json")
    write({"m": 0.5}, 2, started="2026-03-01", name="none-2.json", folder=records.MEASUREMENTS / "cuda")
    write({"m": 0.5}, 3, started="2026-04-01", name="none-3.json", experiment="lib.none")
    write({"m": 0.5}, 4, started="2026-05-01", name="none-4.json").write_text("{")
    found = guess(m=0.5)
    assert found is not None and found.seconds == 2


def test_a_plan_says_time_and_memory_and_what_does_not_fit(write: Write) -> None:
    todo = [job(m=m, seed=1) for m in (0.0, 0.5, 0.9)]
    assert estimates.lines(todo, Place()) == ["time and memory: unknown, no earlier run of the kind is here"]
    assert estimates.lines([], Place()) == []
    write({"m": 0.0, "seed": 0}, 600, memory=3072.0, gpu_memory=5120.0)
    write({"m": 0.5, "seed": 0}, 120)
    time, memory = estimates.lines(todo, Place(jobs=3))
    assert time.startswith("time: about 14 min of runs, 5 min at 3 at a time")
    assert "2 as earlier runs with the same parameters, seed aside; 1 as the most similar" in time
    assert memory == "memory: 3.0 GiB and 5.0 GiB on the GPU in one run"
    (warning,) = estimates.lines(todo, Place(minutes=9))[2:]
    assert "more than --time" in warning
    assert len(estimates.lines(todo, Place(minutes=10))) == 2


def test_a_record_says_how_much_memory_its_run_took(tmp_path: Path) -> None:
    hundred = peaks.of_process() + 100
    block = b"x" * (200 << 20)
    assert peaks.of_process() >= hundred
    del block
    assert peaks.of_process() >= hundred, "the most, not what is held now"
    assert peaks.of_gpu("cpu x86_64") is None


def test_the_peak_is_known_without_linux_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = peaks.of_process()
    monkeypatch.setattr(peaks, "STATUS", tmp_path / "none")
    assert 0.5 * known < peaks.of_process() < 100 * known
    monkeypatch.setattr(peaks.sys, "platform", "darwin")  # where the same number is in bytes
    assert peaks.of_process() < known


def test_the_peak_is_read_in_the_unit_of_each_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Linux says it in KiB, in either place; macOS in bytes."""
    monkeypatch.setattr(peaks, "STATUS", tmp_path / "status")
    (tmp_path / "status").write_text("Name:\tpython\nVmPeak:\t 9999 kB\nVmHWM:\t 3072 kB\n")
    assert peaks.of_process() == 3.0
    (tmp_path / "status").unlink()
    usage = SimpleNamespace(ru_maxrss=5 << 20)
    monkeypatch.setattr(peaks.resource, "getrusage", lambda who: usage)
    for platform, unit in (("linux", 1024), ("darwin", 1)):
        monkeypatch.setattr(peaks.sys, "platform", platform)
        assert peaks.of_process() == 5.0 * unit


def test_a_record_says_how_much_of_a_gpu_its_run_took(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [512 << 20, 2048 << 20]
    monkeypatch.setattr("torch.cuda.device_count", lambda: len(held))
    monkeypatch.setattr("torch.cuda.max_memory_reserved", lambda k: held[k])
    assert peaks.of_gpu("cuda:1 NVIDIA H100") == 2048.0
    held.clear()  # a GPU that is pretended
    assert peaks.of_gpu("cuda simulated") is None


def small(tmp_path: Path, *cells: str) -> small_book.SmallBook:
    """A book with a notebook `some` that runs these cells before it saves."""
    book = small_book.make(tmp_path)
    run = small_book.RUN.replace("one.ipynb", "some.ipynb")
    book.write(
        "book/runs/some.ipynb", small_book.notebook(small_book.PARAMETERS, run, *cells, small_book.SAVE)
    )
    return book


def call(book: small_book.SmallBook, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "lib.sweep", "book/runs/some.ipynb", "-p", "seed")
    return book.call(*command, *arguments)


@pytest.mark.book
@pytest.mark.slow
def test_failures_are_kept_with_cell_and_traceback_and_run_again_alone(tmp_path: Path) -> None:
    check = (
        "import os\nif seed in (1, 2) and not os.path.exists('mended'):\n    raise ValueError(f'not {seed}')"
    )
    book = small(tmp_path, check)
    first = call(book, "0", "1", "2")
    assert first.returncode == 1
    table = first.stdout.splitlines()[-4:]
    assert [line.split()[:2] for line in table[1:3]] == [["done", "1"], ["failed", "2"]]
    assert table[0].split() == ["runs", "seconds", "longest", "peak", "memory"] and table[1].endswith("MiB")
    assert table[3] == "1 ran, 0 were current, 2 failed"
    for seed in (1, 2):
        assert f'"seed": {seed}}} failed in cell 3: ValueError: not {seed}' in first.stderr
    assert "  cell 3 begins: import os" in first.stderr
    assert "----> 3     raise ValueError" in first.stderr
    kept = [json.loads(path.read_text()) for path in (tmp_path / "_build/runs/failed").glob("*.json")]
    assert sorted((failure["cell"], failure["cause"]) for failure in kept) == [
        (3, "ValueError: not 1"),
        (3, "ValueError: not 2"),
    ]
    planned = call(book, "0", "1", "2", "3", "--dry-run").stdout
    assert planned.startswith("4 runs: 1 current, 3 to run (2 failed before)")
    assert '"seed": 2}, failed before: ValueError: not 2' in planned
    assert "\ntime: about " in planned and "\nmemory: " in planned
    book.edit("book/runs/some.ipynb", "'mended'", "'.'")  # other code: the failures are known still
    again = call(book, "0", "1", "2", "3", "--retry-failed")
    assert again.returncode == 0, again.stderr
    assert "only what failed before: 2 to run, 2 that are missing are left out" in again.stdout
    assert again.stdout.rstrip().endswith("2 ran, 0 were current")
    assert list((tmp_path / "_build/runs/failed").iterdir()) == []
    assert "0 to run" in call(book, "0", "--retry-failed").stdout


@pytest.mark.book
@pytest.mark.slow
def test_a_run_that_is_killed_names_the_cell_it_was_in(tmp_path: Path) -> None:
    kill = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)"
    done = call(small(tmp_path, kill), "5")
    assert (
        '"seed": 5} failed in cell 3: its process ended without a word, as one that is killed' in done.stderr
    )
    assert "  cell 3 begins: import os, signal" in done.stderr


def test_a_failure_that_is_on_its_way_again_is_known_but_not_told_as_new(write: Write) -> None:
    one = job(m=0.5)
    failures.raised(one, ValueError("first"))
    failures.begun(one)
    known = failures.found(one)
    assert known is not None and known.cause == "ValueError: first"
    assert "without a word" in failures.ended(one).cause, "it was killed before it could say why"
    failures.raised(one, ValueError("second\nline"))
    assert failures.ended(one).cause == "ValueError: second"
    failures.forget(one)
    assert failures.found(one) is None


def test_many_failures_are_a_line_each_and_three_in_full(write: Write) -> None:
    failed = [failures.raised(job(m=m), ValueError(f"no {m}")) for m in range(9)]
    text = str(failures.told(failed))
    assert all(text.count(failure.line) == 1 for failure in failed)
    assert text.count("executed notebook") == 3


def test_a_failure_that_cannot_be_kept_is_told(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(failures, "replace", full)
    assert failures.raised(job(m=1), ValueError("seen")).cause == "ValueError: seen"
    assert failures.found(job(m=1)) is None
    assert not any(name.endswith(".tmp") for _, _, names in os.walk(records.ROOT) for name in names)

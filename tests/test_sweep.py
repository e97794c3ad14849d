"""Sweeps: grids, what is missing, refusals; real runs are in ``test_book_guard.py``."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import small_book
from hypothesis import given
from hypothesis import strategies as st

from lib import records, sweep
from lib.records import Provenance


@given(st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(), min_size=1, max_size=3, unique=True)))
def test_a_grid_holds_every_combination_once(axes: dict[str, list[int]]) -> None:
    runs = sweep.grid(axes)
    expected = 1
    for values in axes.values():
        expected *= len(values)
    assert len({json.dumps(run) for run in runs}) == len(runs) == expected
    assert all(run[name] in values for run in runs for name, values in axes.items())


@pytest.mark.parametrize(
    "text", ["- params: {m: 0}", "- notebook: a.ipynb\n  parameters: {m: 0}", "- book/runs/one.ipynb"]
)
def test_a_declaration_of_another_form_names_its_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "wrong.yml").write_text(text)
    with pytest.raises(ValueError, match=r"wrong\.yml"):
        sweep.declared(tmp_path)


def jobs(count: int) -> list[sweep.Job]:
    """Jobs of an experiment that is never executed here."""
    return [sweep.Job(Provenance("book/runs/none.ipynb", {"m": m}, {}, {}, {})) for m in range(count)]


def test_a_failure_starts_no_further_run(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def execute(job: sweep.Job, threads: int) -> None:
        started.append(job.origin.params["m"])
        if job.origin.params["m"] == 1:
            raise sweep.SweepError("run 1 failed")
        time.sleep(0.02)  # a run takes its time

    monkeypatch.setattr(sweep, "execute", execute)
    with pytest.raises(sweep.SweepError, match="run 1 failed"):
        sweep.run(jobs(50), workers=1, report=lambda line: None)
    assert started[:2] == [0, 1]
    assert len(started) < 50


def test_runs_go_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    meet = threading.Barrier(2, timeout=20)
    monkeypatch.setattr(sweep, "execute", lambda job, threads: meet.wait())
    told: list[str] = []
    assert sweep.run(jobs(2), workers=2, report=told.append) == 2
    assert len(told) == 2


def test_nothing_to_do_starts_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sweep.Job, "record", property(lambda job: tmp_path))
    monkeypatch.setattr(Path, "is_file", lambda path: True)
    monkeypatch.setattr(sweep, "execute", lambda job, threads: pytest.fail("a current run was repeated"))
    assert sweep.run(jobs(3)) == 0


@pytest.mark.book
def test_the_command_line_runs_what_is_missing_and_refuses_what_is_unknown(tmp_path: Path) -> None:
    book = small_book.make(tmp_path)

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return book.call(sys.executable, "-m", "lib.sweep", "book/runs/one.ipynb", *arguments)

    assert call("-p", "m", "0.1", "0.5", "--dry-run").stdout.count("missing ") == 2
    assert "1 ran, 0 were current" in call("-p", "m", "0.1").stdout
    assert "1 ran, 1 were current" in call("-p", "m", "0.1", "0.5", "-p", "seed", "0").stdout
    assert len(book.records()) == 2
    refused = call("-p", "M", "0.1")
    assert (refused.returncode, "takes no parameter 'M'" in refused.stderr) == (1, True)
    nowhere = book.call(sys.executable, "-m", "lib.sweep", "book/runs/two.ipynb")
    assert nowhere.returncode == 1
    assert "two.ipynb" in nowhere.stderr


def test_a_job_lies_where_its_record_is_looked_for() -> None:
    job = jobs(1)[0]
    assert job.record == records.RECORDS / f"none-{job.origin.key}.json"
    assert job.notebook.name == f"none-{job.origin.key}.ipynb"

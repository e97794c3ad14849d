"""The command for a card: rehearsed in a bare copy, killed, resumed; and every job on a simulated GPU."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from simulated_gpu import Card

from benchmarks.gpu import command, ledger, pieces, table2, training
from lib import records
from lib.training.config import TrainConfig, differences

ROOT = Path(__file__).resolve().parents[1]
# What a bare machine has not: in its place an import fails.
BLOCKED = "jaxtyping beartype yaml submitit IPython jupyter_client papermill nbformat matplotlib pandas book"
BLOCKER = f"""
import importlib.machinery, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED.split()!r}:
            return importlib.machinery.ModuleSpec(name, self)
    def create_module(self, spec):
        raise ModuleNotFoundError(f"No module named {{spec.name!r}}", name=spec.name)
    def exec_module(self, module):
        raise ModuleNotFoundError
sys.meta_path.insert(0, Absent())
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """A folder with `lib`, `benchmarks` and `data/weights` and nothing else of the project."""
    folder = tmp_path_factory.mktemp("bare")
    for part in ("lib", "benchmarks", "data/weights"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "sitecustomize.py").write_text(BLOCKER)
    return folder


def start(bare: Path, out: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(bare), "OMP_NUM_THREADS": "1", "PYTHONNOUSERSITE": "1"}
    argv = [sys.executable, "-m", "benchmarks.gpu", "--rehearse", "--out", str(out), "--commit", "abc"]
    return subprocess.Popen(
        argv, cwd=bare, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.slow
def test_it_runs_in_a_bare_copy_goes_on_after_a_kill_and_repeats_nothing(bare, tmp_path):
    path = tmp_path / ledger.NAME
    first = start(bare, tmp_path)
    deadline = time.monotonic() + 900
    while len(ledger.lines(path)) < 3 and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    first.kill()
    first.wait()
    content = path.read_bytes()
    path.write_bytes(content[:-40])  # the kill hit the middle of a line
    whole = ledger.lines(path)
    assert 2 <= len(whole) < 30
    second = start(bare, tmp_path)
    said, _ = second.communicate(timeout=1200)
    assert second.returncode == 0, said
    found = ledger.lines(path)
    assert found[: len(whole)] == whole and {job for job in command.JOBS if f"] {job} " in said} == {
        *command.JOBS
    }
    named = [(raw["experiment"], json.dumps(raw["params"])) for raw in found]
    assert len({*named}) == len(named), "measured twice"
    assert {experiment for experiment, _ in named} == {f"benchmarks.gpu.{job}" for job in command.JOBS}
    third = start(bare, tmp_path)
    said, _ = third.communicate(timeout=1200)
    assert third.returncode == 0 and ledger.lines(path) == found, said
    files = [file for file in tmp_path.iterdir() if file.is_file()]
    assert len(files) <= 7 and all(file.stat().st_size <= 16 * 2**20 for file in files), "one is for the log"
    every = {"command", "commit", "cuda"}
    assert all(every <= raw["measurements"].keys() and raw["params"]["rehearsal"] for raw in found)
    assert {raw["measurements"]["commit"]["value"] for raw in found} == {"abc"}


# Waits of Python for the card in a whole job at tiny size, clocks included, with a tenth to spare: a new wait
# in each block or in each head breaks them.
WAITS = {"parity": 1250, "table2": 450, "lengths": 600, "spectra": 1130, "thousand": 330, "training": 85}


@pytest.mark.slow
@pytest.mark.parametrize("job", command.JOBS)
def test_every_job_runs_on_a_simulated_gpu(job, tmp_path):
    pieces.vggt_1b.cache_clear()
    with Card() as card:
        status = command.main(["--rehearse", "--device", "cuda", "--only", job, "--out", str(tmp_path)])
    pieces.vggt_1b.cache_clear()
    assert status == 0
    found = ledger.lines(tmp_path / ledger.NAME)
    assert found and all(raw["device"] == "cuda simulated" for raw in found)
    assert not any("refused" in raw["measurements"] for raw in found)
    assert card.waited() <= WAITS[job], card.waits.most_common(20)


def test_without_a_card_it_says_what_can_be_done(capsys):
    with pytest.raises(SystemExit):
        command.main([])
    assert "--rehearse" in capsys.readouterr().err


def test_what_does_not_fit_is_recorded_and_what_fails_is_not(tmp_path, monkeypatch, capsys):
    def refuse():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB\nand more")

    def fail():
        raise RuntimeError("no")

    def job(stage):
        yield pieces.Piece({"n": 1}, refuse)
        yield pieces.Piece({"n": 2}, fail)
        yield pieces.Piece({"n": 3}, lambda: {"x": (1.0, "s")})
        yield pieces.Piece({"n": 4}, lambda: {"x": (1.0, "s")}, seconds=1e6)

    monkeypatch.setattr(command, "JOBS", {"parity": command.Job(job, 1.0)})
    argv = ["--rehearse", "--out", str(tmp_path)]
    assert command.main(argv) == 1
    found = ledger.lines(tmp_path / ledger.NAME)
    assert [raw["params"]["n"] for raw in found] == [1, 3]
    assert found[0]["measurements"]["refused"]["value"] == "CUDA out of memory. Tried to allocate 3 GiB"
    assert "more than is left" in capsys.readouterr().out
    assert command.main(argv) == 1 and len(ledger.lines(tmp_path / ledger.NAME)) == 2


def test_a_job_keeps_to_its_share_and_the_last_one_gets_the_rest(tmp_path, monkeypatch, capsys):
    seen = []

    def job(stage):
        seen.append(stage.left)
        while stage.left > -1:
            stage.deadline -= 400
            yield pieces.Piece({"n": 1}, lambda: {"x": (1.0, "s")})

    jobs = {"parity": command.Job(job, 120), "table2": command.Job(job, 600)}
    with Card():
        monkeypatch.setattr(command, "JOBS", jobs)
        command.main(["--budget-minutes", "6", "--out", str(tmp_path)])
    assert seen == [pytest.approx(60, abs=1), pytest.approx(360, abs=20)], "half of all shares is there"
    assert "parity: its time is spent" in capsys.readouterr().out
    assert not (tmp_path / ledger.NAME).exists()


def test_a_record_names_the_command_without_a_folder_of_the_machine(tmp_path):
    for argv in (["--rehearse", "--out", str(tmp_path)], ["--rehearse", f"--out={tmp_path}"]):
        told = command.said(command.arguments(argv))
        assert told in (
            "python -m benchmarks.gpu --rehearse --out OUT",
            "python -m benchmarks.gpu --rehearse --out=OUT",
        )


def test_records_come_home(tmp_path):
    book = ledger.Ledger(tmp_path, "cpu")
    params = {"n": 1, "device": "cpu"}
    book.write(records.begin("benchmarks.gpu.table2", params).finish({"x": (2.0, "s")}))
    assert book.has("benchmarks.gpu.table2", params) and not book.has("benchmarks.gpu.table2", {"n": 2})
    assert ledger.Ledger(tmp_path, "cpu").has("benchmarks.gpu.table2", params)
    (path,) = ledger.unpack(tmp_path / ledger.NAME, tmp_path / "home")
    assert records.store.read(path)["x"] == 2.0
    assert path == records.path_of(records.provenance("benchmarks.gpu.table2", params), tmp_path / "home")


def test_table_2_is_in_order_of_worth_and_measures_the_plain_network_once():
    plan = table2.plan(rehearse=False)
    assert len({(frames, way.name) for frames, way in plan}) == len(plan)
    assert [frames for frames, way in plan if way.name == table2.PLAIN] == [50, 100, 200, 500]
    assert {frames for frames, _ in plan} == {50, 100, 200, 500}
    for frames in (50, 100, 200, 500):
        strengths = {way.m for length, way in plan if length == frames and way.rule == "grid"}
        assert strengths >= {0.5, 0.7, 0.9}


def test_what_a_pass_will_take_follows_the_plain_passes(tmp_path):
    def found(experiment):
        raw = {"params": {"frames": 100, "variant": "plain"}}
        return [raw | {"measurements": {"plain: whole, wall": {"value": [4.0, 3.0]}}}]

    stage = pieces.Stage("cpu", False, 0, tmp_path, 0.0, found)
    assert table2.expected(stage, 200, table2.Way()) == 12.0
    assert table2.expected(stage, 200, table2.Way("uniform", 0.9)) < 3.0
    stage.found = lambda experiment: []
    assert table2.expected(stage, 200, table2.Way()) == 0.0


def test_a_network_travels_with_its_record_as_one_file(tmp_path):
    weights = tmp_path / "patch4.safetensors"
    weights.write_bytes(b"weights")
    weights.with_suffix(".json").write_text("{}")
    training.pack(weights, tmp_path / "out.tar")
    os.rename(tmp_path / "out.tar", tmp_path / "patch4.tar")
    home = training.unpacked(tmp_path / "patch4.tar", tmp_path / "home")
    assert home.read_bytes() == b"weights" and home.with_suffix(".json").read_text() == "{}"
    assert training.unpacked(tmp_path / "none.tar", tmp_path) is None


def test_networks_differ_from_the_one_with_a_record_only_where_they_say():
    plain = training.config("patch4", rehearse=False, seed=3)
    for name, differs in {"patch4": "model.patch_size", "deep12": "model.depth"}.items():
        assert differs in differences(TrainConfig(), training.config(name, rehearse=False, seed=3))
    assert plain.seed == 3 and plain.frames_per_step == TrainConfig().frames_per_step
    large = training.config("large", rehearse=False, seed=0).model
    assert (large.image_size // large.patch_size) ** 2 == 144 and large.depth == 12


def test_each_network_asked_for_is_a_piece_unless_its_time_is_spent(tmp_path):
    stage = pieces.Stage(
        "cpu", False, 0, tmp_path, time.monotonic() + 600, lambda name: [], ("patch4", "deep12")
    )
    assert [piece.params["network"] for piece in training.pieces(stage)] == ["patch4", "deep12"]
    stage.found = lambda name: [{"params": {"network": "patch4"}}]
    parts = {piece.params["network"]: piece.params["part"] for piece in training.pieces(stage)}
    assert parts == {"patch4": 2, "deep12": 1}
    stage.deadline = time.monotonic() + 10
    assert list(training.pieces(stage)) == []

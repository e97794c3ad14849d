"""Sweeps: grids, plans, runs side by side, failures, interruptions; builds are in ``test_book_guard.py``."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import small_book
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import records, sweep
from lib.records import Provenance
from lib.sweep import asked, command, failures, forks, place, processes


@settings(deadline=None)
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


def test_an_axis_without_values_is_refused() -> None:
    with pytest.raises(ValueError, match="axis m has no value"):
        sweep.grid({"seed": [0, 1], "m": []})


def jobs(count: int) -> list[sweep.Job]:
    """Jobs of an experiment that is never executed here."""
    return [sweep.Job(Provenance("book/runs/none.ipynb", {"m": m}, {}, {}, {})) for m in range(count)]


class Process:
    """A run in a `Pretended` executor: its record is there after a few looks, unless it fails."""

    def __init__(self, job: sweep.Job, folder: Path, fails: bool) -> None:
        self.job, self.fails, self.looks, self.cancelled = job, fails, 0, False
        self.paths = SimpleNamespace(stdout=folder / f"{job.origin.params['m']}.out")
        self.paths.stdout.write_text("\x1b[31mValueError\x1b[0m: too much\n")

    def done(self) -> bool:
        """After its third look, and after one more for each m, so that runs end one by one."""
        self.looks += 1
        if ended := self.cancelled or self.looks > 3 + self.job.origin.params["m"]:
            finish(self.job, self.fails or self.cancelled)
        return ended

    def cancel(self, check: bool = True) -> None:
        """End it without a record."""
        self.cancelled = True


def finish(job: sweep.Job, without_record: bool) -> None:
    """Write the record of a pretended run."""
    if not without_record:
        job.record.parent.mkdir(parents=True, exist_ok=True)
        about = {"experiment": job.origin.experiment, "params": job.origin.params, "kept": None}
        about |= {part: {} for part in ("code", "weights", "data", "versions", "measurements")}
        about |= {"device": "none", "started": "2026-01-01", "seconds": 0.0}
        job.record.write_text(json.dumps(about))


@dataclass
class Pretended:
    """Stands for submitit: what was started, and how many were in progress at each start."""

    fails: int | None = None
    started: list[Process] = field(default_factory=list)
    busy: list[int] = field(default_factory=list)
    threads: int = 0
    given: list[str] = field(default_factory=list)
    visible: list[str | None] = field(default_factory=list)

    def __call__(self, folder: Path, where: place.Place) -> "Pretended":
        """In place of `place.executor`."""
        self.folder, self.threads = folder, where.threads
        return self

    def submit(self, function: object, visible: str | None, execute: object, job: sweep.Job) -> Process:
        """Start a job, noting the threads it is given, and the GPUs."""
        self.visible.append(visible)
        self.given.append(os.environ["OMP_NUM_THREADS"])
        self.busy.append(sum(not p.job.record.is_file() for p in self.started) + 1)
        self.started.append(Process(job, self.folder, job.origin.params["m"] == self.fails))
        return self.started[-1]


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pretended:
    """Runs that start no process, in a project of their own."""
    pretended = Pretended()
    monkeypatch.setattr(processes, "executor", pretended)
    monkeypatch.setattr(forks, "POSSIBLE", False)
    monkeypatch.setattr(processes, "POLL", 0.0)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(records, "ROOT", tmp_path)
    monkeypatch.setattr(records, "MEASUREMENTS", tmp_path / "data" / "measurements")
    monkeypatch.setattr(records, "path_of", lambda origin: tmp_path / "records" / f"none-{origin.key}.json")
    return pretended


def test_beside_a_gpu_a_run_gets_its_share_of_the_cores(
    pretend: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    on_gpu = sweep.Job(Provenance("book/runs/none.ipynb", {"m": 0, "device": "cuda:1"}, {}, {}, {}))
    sweep.run([on_gpu], 2, report=print)
    assert pretend.given == ["8"]


@pytest.mark.parametrize("visible", [None, "1"])
def test_a_kernel_sees_the_gpus_of_the_sweep_whatever_submitit_set(
    pretend: Pretended, monkeypatch: pytest.MonkeyPatch, visible: str | None
) -> None:
    """submitit hides every GPU (an empty CUDA_VISIBLE_DEVICES) from a process that asked for none."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (job,), seen = jobs(1), []

    def pretended(*_: object, **__: object) -> None:
        seen.append(os.environ.get("CUDA_VISIBLE_DEVICES"))
        finish(job, without_record=False)

    monkeypatch.setattr("papermill.execute_notebook", pretended)
    place.seeing_gpus(visible, processes.execute, job)
    assert seen == [visible]
    place.seeing_gpus(visible, processes.execute, job)  # its record is there: nothing to do
    assert seen == [visible]


def test_a_run_without_its_record_is_an_error(pretend: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("papermill.execute_notebook", lambda *_, **__: None)
    with pytest.raises(sweep.SweepError, match="ended without its record none-"):
        processes.execute(jobs(1)[0])


def test_whoever_sets_the_threads_is_obeyed(pretend: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    sweep.run(jobs(1), 1, report=print)
    assert pretend.given == ["3"]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_never_more_runs_at_once_than_asked_for(pretend: Pretended, workers: int) -> None:
    told: list[str] = []
    assert sweep.run(jobs(7), workers, report=told.append) == 7
    assert max(pretend.busy) == workers
    assert pretend.threads == max(1, (os.cpu_count() or 1) // workers)
    assert pretend.given == ["1"] * 7, "on a CPU, the same bits whatever the number of jobs"
    assert [line.split("(")[-1] for line in told] == [f"{k} of 7)" for k in range(1, 8)]
    assert len(list((records.ROOT / "_build" / "runs" / "logs").glob("*.log"))) == 7
    assert not pretend.folder.exists()


def test_a_failure_starts_no_further_run_and_lets_the_others_finish(pretend: Pretended) -> None:
    pretend.fails = 1
    with pytest.raises(sweep.SweepError) as refused:
        sweep.run(jobs(50), workers=3, report=lambda line: None)
    failed, message = jobs(2)[1], str(refused.value)
    for part in (
        'none.ipynb {"m": 1}',
        str(failed.notebook),
        str(failed.log),
        "  end of the log:\nValueError",
    ):
        assert part in message
    assert "\x1b" not in message
    assert len(pretend.started) < 6
    assert [p.job for p in pretend.started if not p.job.record.is_file()] == [failed]
    assert not any(p.cancelled for p in pretend.started)


def test_what_another_sweep_ran_meanwhile_is_current(pretend: Pretended) -> None:
    told: list[str] = []

    def report(line: str) -> None:
        told.append(line)
        finish(jobs(3)[2], without_record=False)

    assert sweep.run(jobs(3), workers=1, report=report) == 2
    assert [p.job.origin.params["m"] for p in pretend.started] == [0, 1]


def test_an_interrupted_sweep_stops_its_runs(pretend: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.0)

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep.run(jobs(9), workers=3, report=interrupt)
    assert [p.cancelled for p in pretend.started] == [False, True, True]


def test_nothing_to_do_starts_nothing(pretend: Pretended) -> None:
    for job in jobs(3):
        finish(job, without_record=False)
    assert sweep.run(jobs(3)) == 0
    assert pretend.started == []


def test_no_workers_is_refused(pretend: Pretended) -> None:
    with pytest.raises(ValueError, match="0 runs at a time, needed is at least 1"):
        sweep.run(jobs(1), workers=0)


def test_kept_records_replace_older_ones_of_the_same_run(pretend: Pretended) -> None:
    origins = [Provenance("book/runs/none.ipynb", {"m": m, "device": "cuda:0"}, {}, {}, {}) for m in (0, 1)]
    folder = records.MEASUREMENTS / "cuda-0"
    folder.mkdir(parents=True)
    for name, params in (("none-old", origins[0].params), ("none-other", {"m": 5, "device": "cuda:0"})):
        (folder / f"{name}.json").write_text(
            json.dumps({"experiment": "book/runs/none.ipynb", "params": params})
        )
        (folder / f"{name}.npz").write_bytes(b"old")
    now = [sweep.Job(origin) for origin in origins]
    for job in now:
        finish(job, without_record=False)
    now[0].record.with_suffix(".npz").write_bytes(b"new")
    assert sweep.keep(now) == [folder / job.record.name for job in now]
    left = {path.name for path in folder.iterdir()}
    arrays = now[0].record.with_suffix(".npz").name
    assert left == {"none-other.json", "none-other.npz", arrays, *(job.record.name for job in now)}
    assert (folder / arrays).read_bytes() == b"new"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "m"], "axis m has no value"),
        (["-p", "m", "0", "-p", "m", "1"], "-p m is given twice"),
        (["-p", "m", "["], "-p m: cannot read ["),
        (["-p", "M", "0.1"], "takes no parameter 'M'"),
        (["-p", "m", "much"], "parameter m = 'much' is a str, needed is a float"),
        (["--jobs", "0"], "0 runs at a time, needed is at least 1"),
    ],
)
def test_bad_input_is_one_clear_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep.command_line(["book/runs/one_run.ipynb", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert len(error.splitlines()) == 1


def test_text_stays_text_and_numbers_are_numbers() -> None:
    """A folder called "shoot #2" is not cut at YAML's comment, and 1e-3 is a number whatever YAML says."""
    defaults = {"scene": "rooms:0", "m": 0.5, "frames": 8, "size_bias": False, "extra": None}
    axes = [
        *(["scene", "shoot #2", "007", "null", "a: b"], ["m", "1e-3", "0"], ["frames", "16"]),
        *(["size_bias", "true"], ["extra", "[1, 2]"]),
    ]
    assert asked.given(axes, defaults) == {
        "scene": ["shoot #2", "007", "null", "a: b"],
        **{"m": [0.001, 0.0], "frames": [16], "size_bias": [True], "extra": [[1, 2]]},
    }


def test_a_failure_names_its_cause_first(tmp_path: Path) -> None:
    log = "cell 3\nTraceback\n  line 7\nOSError: [Errno 28] No space left on device\n" + "x\n" * 50
    (job := jobs(1)[0]).log.parent.mkdir(parents=True, exist_ok=True)
    job.log.write_text(log, encoding="utf-8")
    try:
        assert (
            str(failures.ended(job))
            .splitlines()[0]
            .endswith("failed: OSError: [Errno 28] No space left on device")
        )
    finally:
        job.log.unlink()
        failures.forget(job)


def test_a_disk_that_takes_nothing_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system", "_build/runs")

    monkeypatch.setattr(command, "run_all", refuse)
    assert sweep.command_line(["book/runs/one_run.ipynb"]) == 1
    assert capsys.readouterr().err == "error: [Errno 30] Read-only file system: '_build/runs'\n"


@pytest.mark.parametrize("notebook", ["book/runs/none.ipynb", "lib.run", "README.md"])
def test_what_is_no_notebook_is_refused(notebook: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep.command_line([notebook]) == 1
    assert notebook in capsys.readouterr().err


def call(book: small_book.SmallBook, notebook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, on a notebook of a small book."""
    return book.call(sys.executable, "-m", "lib.sweep", f"book/runs/{notebook}.ipynb", *arguments)


@pytest.mark.book
def test_the_command_line_plans_runs_what_is_missing_and_keeps(tmp_path: Path) -> None:
    book = small_book.make(tmp_path)
    planned = call(book, "one", "-p", "m", "0.1", "0.5", "--dry-run").stdout
    assert planned.startswith("2 runs: 0 current, 2 to run")
    assert planned.count("missing ") == 2
    assert book.records() == []
    assert "1 ran, 0 were current" in call(book, "one", "-p", "m", "0.1").stdout
    again = call(book, "./one", "-p", "m", "0.1", "0.5", "-p", "seed", "0", "--keep").stdout
    assert again.startswith("2 runs: 1 current, 1 to run")
    assert "1 ran, 1 were current" in again
    assert len(book.records()) == 2
    kept = (tmp_path / "data" / "measurements" / "cpu").iterdir()
    assert sorted(path.name for path in kept) == [path.name for path in book.records()]


@pytest.mark.book
def test_a_failed_run_says_where_to_look(tmp_path: Path) -> None:
    book = small_book.make(tmp_path)
    wrong = "import os\nraise ValueError(f'm = {m} in {os.getcwd()}')"
    book.write("book/runs/wrong.ipynb", small_book.notebook(small_book.PARAMETERS, wrong))
    error = call(book, "wrong", "-p", "m", "0.5").stderr
    assert error.startswith('error: book/runs/wrong.ipynb {"m": 0.5, "seed": 0} failed in cell 2: ValueError')
    assert error.rstrip().endswith(f"ValueError: m = 0.5 in {tmp_path}")
    named = [
        Path(line.split(": ")[1]) for line in error.splitlines() if line.startswith("  ") and "_build" in line
    ]
    assert [path.suffix for path in named[:2]] == [".ipynb", ".log"]
    assert all(path.is_file() for path in named[:2])


SLEEP = """import json, os, time
from pathlib import Path
Path("kernel.json").write_text(json.dumps([os.getpid(), os.getppid()]))
time.sleep(100)"""


def alive(process: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.book
@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="looks processes up in /proc")
@pytest.mark.parametrize(("whom", "how"), [(os.killpg, signal.SIGINT), (os.kill, signal.SIGTERM)])
def test_a_stopped_sweep_leaves_no_process(
    tmp_path: Path, whom: Callable[[int, int], None], how: signal.Signals
) -> None:
    """Ctrl-C reaches every process of the terminal's group; ``kill`` only the sweep itself."""
    book = small_book.make(tmp_path)
    book.write("book/runs/sleep.ipynb", small_book.notebook(small_book.PARAMETERS, SLEEP))
    command = [sys.executable, "-m", "lib.sweep", "book/runs/sleep.ipynb"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    # what a shell starts in the background ignores Ctrl-C, and so would everything below
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, process_group=0, preexec_fn=listen
    ) as sweeping:
        until = time.monotonic() + 240
        while not (tmp_path / "kernel.json").is_file() and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(0.2)
        kernel, worker = json.loads((tmp_path / "kernel.json").read_text())
        family = [kernel, worker, int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])]
        assert all(alive(process) for process in family)
        whom(sweeping.pid, how)
        assert sweeping.wait(timeout=240) == (130 if how == signal.SIGINT else 143)
    until = time.monotonic() + 60
    while any(alive(process) for process in family) and time.monotonic() < until:
        time.sleep(0.1)
    assert [process for process in family if alive(process)] == []
    assert list((tmp_path / "_build" / "runs" / "logs").glob("sweep-*")) == []


@pytest.mark.book
def test_two_sweeps_at_a_time_run_a_job_once(tmp_path: Path) -> None:
    book = small_book.make(tmp_path)
    count = "with open('count.txt', 'a') as file:\n    file.write(f'{m}\\n')"
    run = small_book.RUN.replace("one.ipynb", "counted.ipynb")
    book.write(
        "book/runs/counted.ipynb", small_book.notebook(small_book.PARAMETERS, run, count, small_book.SAVE)
    )
    command = [sys.executable, "-m", "lib.sweep", "book/runs/counted.ipynb"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    both = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) for _ in range(2)
    ]
    assert [sweeping.wait(timeout=240) for sweeping in both] == [0, 0]
    assert sorted((tmp_path / "count.txt").read_text().split()) == ["0.25"]
    assert len(book.records()) == 1


def test_a_job_lies_where_its_record_is_looked_for() -> None:
    job = jobs(1)[0]
    assert job.record == records.RECORDS / f"none-{job.origin.key}.json"
    assert job.notebook.name == f"none-{job.origin.key}.ipynb"


def test_a_sweep_may_be_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "two.yml"
    file.write_text("- notebook: book/runs/one_run.ipynb\n  params: {frames: [2, 3], seed: 1234}\n")
    assert sweep.command_line([str(file), "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("2 runs: 0 current, 2 to run")
    assert sweep.command_line([str(file), "-p", "m", "0.1", "--dry-run"]) == 1
    assert "says what to run" in capsys.readouterr().err

"""What may befall a sweep, for real: afterwards the same command completes the grid, and no record is lost.

pytest tests/test_faults.py prints the table; FAULT_WORKERS says how many runs go on at a time.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import small_book

pytestmark = [
    pytest.mark.slow,
    pytest.mark.book,
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="looks processes up in /proc"),
]

WORKERS = int(os.environ.get("FAULT_WORKERS", "3"))
PATIENCE = 240.0  # seconds for a sweep of a few runs on a busy machine
FINISHED = 2  # runs whose records are there before anything befalls the sweep
# What the notebook does beside its measurement, where the fault's file lies in the book's folder.
BESIDE = """import os, time
with open(f"started-{seed}", "w") as file:
    file.write(f"{os.getpid()} {os.getppid()}")
with open("count.txt", "a") as file:
    file.write(f"{seed}\\n")
if os.path.exists("raise"):
    raise ValueError(f"seed {seed} is no good")
if os.path.exists("greedy"):
    bytearray(1 << 44)
while os.path.exists("hold"):
    time.sleep(0.05)"""


def limit(memory: int | None) -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would everything below."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if memory is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


class Sweep:
    """A sweep over seeds 0 … FINISHED + WORKERS - 1 of a small book, of which FINISHED have run."""

    def __init__(self, root: Path) -> None:
        self.book = small_book.SmallBook(root)
        self.root = root
        self.seeds = [str(seed) for seed in range(FINISHED + WORKERS)]

    def start(self, memory: int | None = None, seeds: list[str] | None = None) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "lib.sweep", "book/runs/many.ipynb", "--jobs", str(WORKERS)]
        environment = os.environ | {"PYTHONPATH": str(self.root), "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [*command, "-p", "seed", *(seeds or self.seeds)],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
            preexec_fn=partial(limit, memory),
        )

    def run(self, memory: int | None = None) -> tuple[int, str]:
        return ended(self.start(memory))

    def hold(self) -> None:
        (self.root / "hold").touch()

    def go(self) -> None:
        (self.root / "hold").unlink()

    def started(self) -> list[tuple[int, int]]:
        """(kernel, worker) of each missing run, once all have begun."""
        marks = [self.root / f"started-{seed}" for seed in self.seeds[FINISHED:]]
        wait(lambda: all(mark.is_file() and len(mark.read_text().split()) == 2 for mark in marks))
        return [(int(kernel), int(worker)) for kernel, worker in (mark.read_text().split() for mark in marks)]

    def hashes(self) -> dict[str, str]:
        """Content of every whole record, by name."""
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in self.book.records()}


def ended(sweeping: subprocess.Popen[str]) -> tuple[int, str]:
    out, error = sweeping.communicate(timeout=PATIENCE)
    return sweeping.returncode, error.strip() or out.strip()


def wait(done: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.05)


@contextmanager
def mounted(folder: Path, *commands: str) -> Iterator[None]:
    """A file system over a folder, as these mount commands make it."""
    if subprocess.run(["mount", *commands[0].split(), str(folder)], capture_output=True).returncode:
        pytest.skip("mounting a file system needs root")
    try:
        for command in commands[1:]:
            subprocess.run(["mount", *command.split(), str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def two_workers(sweep: Sweep) -> tuple[int, str]:
    sweep.hold()
    sweeping = sweep.start()
    for _, worker in sweep.started()[:2]:
        os.kill(worker, signal.SIGKILL)
    time.sleep(2)  # their kernels end with them
    sweep.go()
    return ended(sweeping)


def driver(sweep: Sweep) -> tuple[int, str]:
    sweep.hold()
    sweeping = sweep.start()
    sweep.started()
    sweeping.kill()
    status = sweeping.wait(timeout=PATIENCE)
    sweep.go()  # its runs go on by themselves; a second sweep waits for them
    return status, "(killed)"


def full_disk(sweep: Sweep) -> tuple[int, str]:
    """The records lie on a disk of 64 KiB, filled to its end."""
    folder, aside = sweep.root / "records", sweep.root / "aside"
    shutil.copytree(folder, aside)
    with mounted(folder, "-t tmpfs -o size=64k tmpfs"):
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        said = sweep.run()
        (folder / "filler").unlink()
        shutil.rmtree(aside)
        shutil.copytree(folder, aside)
    shutil.copytree(aside, folder, dirs_exist_ok=True)  # what the disk held
    return said


def read_only(sweep: Sweep) -> tuple[int, str]:
    folder = sweep.root / "_build"
    with mounted(folder, f"--bind {folder}", "-o remount,bind,ro"):
        return sweep.run()


def raising(sweep: Sweep) -> tuple[int, str]:
    (sweep.root / "raise").touch()
    said = sweep.run()
    (sweep.root / "raise").unlink()
    return said


def out_of_memory(sweep: Sweep) -> tuple[int, str]:
    (sweep.root / "greedy").touch()
    said = sweep.run(memory=32 << 30)
    (sweep.root / "greedy").unlink()
    return said


def clock_back(sweep: Sweep) -> tuple[int, str]:
    """As it is after the clock was moved back a day: everything is of tomorrow."""
    tomorrow = time.time() + 86_400
    for path in sweep.root.rglob("*"):
        os.utime(path, (tomorrow, tomorrow))
    return sweep.run()


def two_drivers(sweep: Sweep) -> tuple[int, str]:
    (sweep.root / "count.txt").unlink()
    both = [sweep.start(), sweep.start()]
    said = [ended(sweeping) for sweeping in both]
    assert sorted((sweep.root / "count.txt").read_text().split()) == sweep.seeds[FINISHED:], "a run ran twice"
    return max(said)


def damaged(content: Callable[[bytes], bytes], sweep: Sweep) -> tuple[int, str]:
    (sweep.book.records()[0]).write_bytes(content(sweep.book.records()[0].read_bytes()))
    return sweep.run()


def interrupted(times: int, sweep: Sweep) -> tuple[int, str]:
    sweep.hold()
    sweeping = sweep.start()
    processes = [process for pair in sweep.started() for process in pair]
    for _ in range(times):
        os.killpg(sweeping.pid, signal.SIGINT)
        time.sleep(0.3)
    said = ended(sweeping)
    wait(lambda: not any(alive(process) for process in processes))
    sweep.go()
    return said


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# fault -> (what befalls, exit status, words of the sweep, records that it may change)
FAULTS: dict[str, tuple[Callable[[Sweep], tuple[int, str]], int, str, int]] = {
    "two workers killed": (two_workers, 1, "failed", 0),
    "the sweep killed": (driver, -signal.SIGKILL, "killed", 0),
    "a full disk": (full_disk, 1, "No space left on device", 0),
    "a read-only folder": (read_only, 1, "Read-only file system", 0),
    "runs that raise": (raising, 1, "ValueError: seed", 0),
    "out of memory": (out_of_memory, 1, "MemoryError", 0),
    "a clock moved back": (clock_back, 0, f"{WORKERS} ran, {FINISHED} were current", 0),
    "two sweeps at once": (two_drivers, 0, "were current", 0),
    "a corrupt record": (partial(damaged, lambda content: b"\xff" + content[1:]), 0, f"{WORKERS + 1} ran", 1),
    "a half-written record": (partial(damaged, lambda content: content[:99]), 0, f"{WORKERS + 1} ran", 1),
    "Ctrl-C": (partial(interrupted, 1), 130, "the same command goes on", 0),
    "Ctrl-C twice": (partial(interrupted, 2), 130, "", 0),
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of which FINISHED runs are there."""
    root = tmp_path_factory.mktemp("book")
    book = small_book.make(root)
    run = small_book.RUN.replace("one.ipynb", "many.ipynb")
    cells = small_book.notebook(small_book.PARAMETERS, run, BESIDE, small_book.SAVE)
    book.write("book/runs/many.ipynb", cells)
    status, said = ended(Sweep(root).start(seeds=[str(seed) for seed in range(FINISHED)]))
    assert status == 0, said
    return root


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    rows = [
        "",
        f"{'fault':<22}{'exit':>5}{'whole before':>14}{'after':>7}{'changed':>9}{'rerun':>7}  it said",
    ]
    yield rows
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("\n".join(rows))


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_loses_a_record_or_stops_the_grid(
    fault: str, begun: Path, tmp_path: Path, table: list[str]
) -> None:
    befalls, exit_status, words, may_change = FAULTS[fault]
    shutil.copytree(begun, tmp_path / "book", symlinks=True)
    sweep = Sweep(tmp_path / "book")
    before = sweep.hashes()
    assert len(before) == FINISHED
    status, said = befalls(sweep)
    after = sweep.hashes()
    again, rerun = sweep.run()
    complete = sweep.hashes()
    changed = [name for name in before if after.get(name) != before[name] or complete[name] != before[name]]
    line = next((line for line in said.splitlines() if words in line), said)
    counts = f"{status:>5}{len(before):>14}{len(after):>7}{len(changed):>9}{len(complete):>7}"
    table.append(f"{fault:<22}{counts}  {line[:70]}")
    assert (status, again) == (exit_status, 0), f"{said}\n{rerun}"
    assert words in said
    assert len(complete) == len(sweep.seeds)
    assert len(changed) <= may_change
    assert list((sweep.root / "records").glob("*.tmp")) == []

"""A sweep of a small book's notebook that can be held, watched and killed: for faults here and on Slurm."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import small_book

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
    """A sweep over seeds 0 … FINISHED + workers - 1 of a small book, of which FINISHED have run."""

    def __init__(self, root: Path, workers: int, options: tuple[str, ...] = ()) -> None:
        self.book = small_book.SmallBook(root)
        self.root, self.options = root, (*options, "--jobs", str(workers))
        self.seeds = [str(seed) for seed in range(FINISHED + workers)]

    def start(
        self, *options: str, memory: int | None = None, seeds: list[str] | None = None
    ) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "lib.sweep", "book/runs/many.ipynb", *self.options, *options]
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
        return ended(self.start(memory=memory))

    def hold(self) -> None:
        (self.root / "hold").touch()

    def go(self) -> None:
        (self.root / "hold").unlink()

    def started(self) -> list[tuple[int, int]]:
        """(kernel, worker) of each missing run, once all have begun."""
        marks = [self.root / f"started-{seed}" for seed in self.seeds[FINISHED:]]
        wait(lambda: all(mark.is_file() and len(mark.read_text().split()) == 2 for mark in marks))
        return [(int(kernel), int(worker)) for kernel, worker in (mark.read_text().split() for mark in marks)]

    def ran(self) -> list[str]:
        """Seeds whose notebook was begun, once for each time."""
        return sorted((self.root / "count.txt").read_text().split(), key=int)

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


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def make(root: Path) -> None:
    """The book, of which FINISHED runs are there."""
    book = small_book.make(root)
    run = small_book.RUN.replace("one.ipynb", "many.ipynb")
    cells = small_book.notebook(small_book.PARAMETERS, run, BESIDE, small_book.SAVE)
    book.write("book/runs/many.ipynb", cells)
    seeds = [str(seed) for seed in range(FINISHED)]
    status, said = ended(Sweep(root, FINISHED).start(seeds=seeds))
    assert status == 0, said
    (root / "count.txt").unlink()

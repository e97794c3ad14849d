"""What may befall a sweep, for real: afterwards the same command completes the grid, and no record is lost.

pytest tests/test_faults.py prints the table; FAULT_WORKERS says how many runs go on at a time.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import small_sweep
from small_sweep import FINISHED, PATIENCE, Sweep, alive, ended, wait

pytestmark = [
    pytest.mark.slow,
    pytest.mark.book,
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="looks processes up in /proc"),
]

WORKERS = int(os.environ.get("FAULT_WORKERS", "3"))
EIGHT = 8


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
    """The other six finish."""
    sweep.hold()
    sweeping = sweep.start()
    for _, worker in sweep.started()[:2]:
        os.kill(worker, signal.SIGKILL)
    time.sleep(2)  # their kernels end with them
    sweep.go()
    said = ended(sweeping)
    assert len(sweep.hashes()) == len(sweep.seeds) - 2
    return said


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
    both = [sweep.start(), sweep.start()]
    said = [ended(sweeping) for sweeping in both]
    assert sweep.ran() == sweep.seeds[FINISHED:], "a run ran twice"
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


# fault -> (what befalls, exit status, words of the sweep, records that it may change)
FAULTS: dict[str, tuple[Callable[[Sweep], tuple[int, str]], int, str, int]] = {
    "two of eight killed": (two_workers, 1, "failed", 0),
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
    small_sweep.make(root)
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
    sweep = Sweep(tmp_path / "book", EIGHT if "eight" in fault else WORKERS)
    before = sweep.hashes()
    assert len(before) == FINISHED
    status, said = befalls(sweep)
    after = sweep.hashes()
    again, rerun = sweep.run()
    complete = sweep.hashes()
    changed = [name for name in before if after.get(name) != before[name] or complete[name] != before[name]]
    line = next((line for line in said.splitlines() if words in line), said)
    line = re.sub(r"^error: \S+\.ipynb \{.*?\} ", "", line)
    counts = f"{status:>5}{len(before):>14}{len(after):>7}{len(changed):>9}{len(complete):>7}"
    table.append(f"{fault:<22}{counts}  {line[:70]}")
    assert (status, again) == (exit_status, 0), f"{said}\n{rerun}"
    assert words in said
    assert len(complete) == len(sweep.seeds)
    assert len(changed) <= may_change
    assert list((sweep.root / "records").glob("*.tmp")) == []

"""What a short run costs when its processes start by themselves, and when they are forked.

    python benchmarks/starts.py [REPETITIONS]

Each repetition is one run of 4 frames through submitit and several forked ones, with equal parameters. The
process that forks them starts once a sweep, and has a row of its own. Processor seconds count all processes
of a run, and its measurement too: what is saved is the difference. Records that it writes are deleted.
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable

from lib import sweep
from lib.pipes import reader_may_leave
from lib.sweep import forks
from lib.sweep.processes import Pool

NOTEBOOK = "book/runs/one_run.ipynb"


def spent(call: Callable[[], object]) -> tuple[float, float]:
    """Processor seconds of the children that ended meanwhile, and seconds by the clock."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    call()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - start


def once(job: sweep.Job, pool: Pool) -> None:
    """Run a job, and delete its record."""
    pool.start(job)
    pool.ended()
    if sweep.missing([job]):
        raise SystemExit(f"{job.label} left no record: see {job.log}")
    job.record.unlink()
    job.record.with_suffix(".npz").unlink(missing_ok=True)


def several(job: sweep.Job, runs: int) -> None:
    """Runs of one sweep, one after the other."""
    with Pool(sweep.Place(jobs=1)) as pool:
        for _ in range(runs):
            once(job, pool)


def main() -> None:
    """Measure, and print the table."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    (job,) = sweep.plan(NOTEBOOK, {"frames": 4, "seed": 10**6})
    columns: dict[str, list[tuple[float, float]]] = {"apart": [], "forked": [], "server": []}
    for _ in range(repetitions):
        forks.POSSIBLE = False
        columns["apart"].append(spent(lambda: several(job, 1)))
        forks.POSSIBLE = True
        alone, thrice = spent(lambda: several(job, 1)), spent(lambda: several(job, 3))
        run = tuple((a - b) / 2 for a, b in zip(thrice, alone, strict=True))
        columns["forked"].append((run[0], run[1]))
        columns["server"].append((alone[0] - run[0], alone[1] - run[1]))
    print(f"{'median of ' + str(repetitions):<14}{'CPU s':>8}{'clock s':>9}")
    middle = {name: [statistics.median(k) for k in zip(*rows, strict=True)] for name, rows in columns.items()}
    for name, (cpu, clock) in middle.items():
        print(f"{name:<14}{cpu:>8.2f}{clock:>9.2f}")
    ratios = [forked / apart for forked, apart in zip(middle["forked"], middle["apart"], strict=True)]
    print(f"{'forked/apart':<14}{ratios[0]:>8.2f}{ratios[1]:>9.2f}")


if __name__ == "__main__":
    with reader_may_leave():
        main()

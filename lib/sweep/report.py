"""What a sweep says: its plan before, and a table of how it ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from lib import records
from lib.sweep import estimates, failures
from lib.sweep.estimates import duration, largest, of_memory
from lib.sweep.jobs import Job, missing
from lib.sweep.place import Place


def announce(jobs: Sequence[Job], place: Place, only_failed: bool = False) -> list[Job]:
    """Print which runs are current, missing, failed before, and about what they take.

    Args:
        only_failed: leave out what is missing and has not failed.
    Returns:
        the jobs without those left out.
    """
    todo = missing(jobs)
    before = {job.label: failure for job in todo if (failure := failures.found(job)) is not None}
    there, failed = len(jobs) - len(todo), f" ({len(before)} failed before)" if before else ""
    print(f"{len(jobs)} runs: {there} current, {len(todo)} to run{failed}, {place.jobs} at a time")
    left = [job for job in todo if job.label not in before] if only_failed else []
    todo = [job for job in todo if job not in left]
    for job in todo:
        known = before.get(job.label)
        print(f"missing {job.label}" + (f", failed before: {known.cause}" if known else ""))
    if only_failed:
        print(f"only what failed before: {len(todo)} to run, {len(left)} that are missing are left out")
    print(*estimates.lines(todo, place), sep="\n", flush=True)
    return [job for job in jobs if job not in left]


@dataclass
class Outcome:
    """The runs of a sweep. current: had a record before, or another sweep made it meanwhile."""

    done: list[Job] = field(default_factory=list)
    current: list[Job] = field(default_factory=list)
    failed: list[failures.Failure] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Runs, seconds and peak memory of each kind, and one line of counts; an empty kind has no row."""
        rows = [("", "runs", "seconds", "longest", "peak memory")]
        rows += [_row(name, jobs) for name, jobs in (("done", self.done), ("current", self.current)) if jobs]
        rows += [("failed", str(len(self.failed)), "", "", "")] * bool(self.failed)
        table = [f"{a:<8}{b:>6}{c:>10}{d:>10}  {e:>11}".rstrip() for a, b, c, d, e in rows]
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return [*table, f"{len(self.done)} ran, {len(self.current)} were current{failed}"]


def _row(name: str, jobs: Sequence[Job]) -> tuple[str, str, str, str, str]:
    read = [record for job in jobs if (record := records.found(job.record)) is not None]
    seconds = [record.seconds for record in read]
    memory = largest(record.memory for record in read), largest(record.gpu_memory for record in read)
    longest = duration(max(seconds)) if seconds else ""
    return name, str(len(jobs)), f"{sum(seconds):.1f}", longest, of_memory(*memory)

"""Run what is missing; keep what a build cannot repeat."""

import json
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from lib import records
from lib.records.contents import replace
from lib.sweep import failures
from lib.sweep.jobs import Job, SweepError, missing
from lib.sweep.place import Place
from lib.sweep.processes import Pool
from lib.sweep.report import Outcome


def run(jobs: Sequence[Job], workers: int = 2, report: Callable[[str], None] | None = None) -> int:
    """`run_all` on this machine up to the first failure; how many ran.

    Raises:
        SweepError: of the first run that failed; those in progress are let finish, no other is started.
        ValueError: fewer than one worker.
    """
    outcome = run_all(jobs, Place(jobs=workers), report, patient=False)
    if outcome.failed:
        raise SweepError(str(outcome.failed[0]))
    return len(outcome.done)


def run_all(
    jobs: Sequence[Job], place: Place, report: Callable[[str], None] | None = None, patient: bool = True
) -> Outcome:
    """Run those jobs that have no current record, as many at a time as `place` says.

    Args:
        report: told each run that ended in words; None draws a progress bar on a terminal, else prints.
        patient: go on after a failure; else those in progress are let finish, no other is started.
    """
    todo = deque(missing(jobs))
    outcome = Outcome(current=[job for job in jobs if job not in todo])
    if not todo:
        return outcome
    if report is None and not sys.stdout.isatty():
        report = print
    total = len(todo)
    with Pool(place) as pool, tqdm(total=total, unit="run", disable=report is not None) as bar:
        while pool.running or (todo and (patient or not outcome.failed)):
            while todo and (patient or not outcome.failed) and pool.free:
                if not missing([job := todo.popleft()]):  # another sweep may have run it meanwhile
                    outcome.current.append(job)
                    bar.update()
                elif refused := pool.start(job):
                    todo.appendleft(job)
                    (report or bar.write)(f"waiting for a run to end: {refused}")
                    break
            for job in pool.ended() if pool.running else []:
                bar.update()
                if missing([job]):
                    outcome.failed.append(failures.ended(job))
                    (report or bar.write)(outcome.failed[-1].line)
                    continue
                failures.forget(job)
                outcome.done.append(job)
                if report is not None:
                    report(f"ran {job.label} ({len(outcome.done)} of {total})")
    return outcome


def keep(jobs: Sequence[Job]) -> list[Path]:
    """Copy current records into ``data/measurements/<device>``, in place of older ones of the same runs."""
    kept = []
    for job in jobs:
        folder = records.MEASUREMENTS / str(job.origin.params.get("device", "cpu")).replace(":", "-")
        folder.mkdir(parents=True, exist_ok=True)
        for source in (job.record.with_suffix(".npz"), job.record):  # a record comes after its arrays
            if source.is_file():
                replace(folder / source.name, source.read_bytes())
        kept.append(folder / job.record.name)
        for older in set(folder.glob(f"{Path(job.origin.experiment).stem}-*.json")) - {kept[-1]}:
            about = json.loads(older.read_text(encoding="utf-8"))
            if (about["experiment"], about["params"]) == (job.origin.experiment, job.origin.params):
                older.unlink()
                older.with_suffix(".npz").unlink(missing_ok=True)
    return kept

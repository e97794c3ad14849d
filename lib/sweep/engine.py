"""Run what is missing; keep what a build cannot repeat."""

import json
import os
import re
import shutil
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from lib import records
from lib.sweep.jobs import Job, SweepError, missing
from lib.sweep.processes import Pool


def failure(job: Job) -> SweepError:
    """What to say of a run that ended without its record."""
    text = job.log.read_text(encoding="utf-8", errors="replace") if job.log.is_file() else "it wrote no log"
    text = re.sub(r"\x1b\[[0-9;]*m", "", text).rstrip()
    where = f"executed notebook: {job.notebook}\n  log: {job.log}"
    causes = re.findall(r"^\S*(?:Error|Exception|Interrupt): .*", text, re.MULTILINE)
    cause = f": {causes[-1]}" if causes else ""
    return SweepError(f"{job.label} failed{cause}\n  {where}\n  end of the log:\n{text[-2000:]}")


def run(jobs: Sequence[Job], workers: int = 2, report: Callable[[str], None] | None = None) -> int:
    """Run those jobs that have no current record, ``workers`` at a time.

    Args:
        report: told each finished run in words; None draws a progress bar on a terminal, else prints.
    Returns:
        how many ran.
    Raises:
        SweepError: of the first run that failed; those in progress are let finish, no other is started.
        ValueError: fewer than one worker.
    """
    if workers < 1:
        raise ValueError(f"{workers} runs at a time, needed is at least 1")
    todo = deque(missing(jobs))
    if not todo:
        return 0
    if report is None and not sys.stdout.isatty():
        report = print
    total, ran, failed = len(todo), 0, list[SweepError]()
    with Pool(workers) as pool, tqdm(total=total, unit="run", disable=report is not None) as bar:
        while pool.running or (todo and not failed):
            while todo and not failed and len(pool.running) < workers:
                if missing([job := todo.popleft()]):  # another sweep may have run it meanwhile
                    pool.start(job)
                else:
                    bar.update()
            for job in pool.ended() if pool.running else []:
                if missing([job]):
                    failed.append(failure(job))
                    continue
                ran += 1
                bar.update()
                if report is not None:
                    report(f"ran {job.label} ({ran} of {total})")
    if failed:
        raise failed[0]
    return ran


def keep(jobs: Sequence[Job]) -> list[Path]:
    """Copy current records into ``data/measurements/<device>``, in place of older ones of the same runs."""
    kept = []
    for job in jobs:
        folder = records.MEASUREMENTS / str(job.origin.params.get("device", "cpu")).replace(":", "-")
        folder.mkdir(parents=True, exist_ok=True)
        for source in (job.record.with_suffix(".npz"), job.record):  # a record comes after its arrays
            if source.is_file():
                temporary = folder / f"{source.name}.{os.getpid()}.tmp"
                shutil.copyfile(source, temporary)
                os.replace(temporary, folder / source.name)
        kept.append(folder / job.record.name)
        for older in set(folder.glob(f"{Path(job.origin.experiment).stem}-*.json")) - {kept[-1]}:
            about = json.loads(older.read_text(encoding="utf-8"))
            if (about["experiment"], about["params"]) == (job.origin.experiment, job.origin.params):
                older.unlink()
                older.with_suffix(".npz").unlink(missing_ok=True)
    return kept

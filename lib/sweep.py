"""Many runs of one experiment: a grid of parameters, papermill runs for those without a current record.

    python -m lib.sweep book/runs/one_run.ipynb -p m 0 0.5 0.9 -p seed 0 1 --jobs 2

Stopping it loses only the runs in progress: asked again, it runs what is missing. The book's build does the
same for the grids declared in ``book/runs/*.yml``.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from lib import records


class SweepError(RuntimeError):
    """A run failed, or ended without its record."""


@dataclass(frozen=True)
class Job:
    """One run: a notebook, all its parameters, and what it depends on now."""

    origin: records.Provenance

    @property
    def record(self) -> Path:
        """Where this run writes its record."""
        return records.path_of(self.origin)

    @property
    def notebook(self) -> Path:
        """Where the executed notebook goes."""
        return records.ROOT / "_build" / "runs" / f"{self.record.stem}.ipynb"

    @property
    def label(self) -> str:
        """Notebook and parameters, for messages."""
        return f"{self.origin.experiment} {json.dumps(self.origin.params)}"


def grid(axes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every combination of values: a list is an axis, anything else is one fixed value.

    >>> grid({"m": [0.0, 0.5], "seed": 0})
    [{'m': 0.0, 'seed': 0}, {'m': 0.5, 'seed': 0}]
    """
    values = [v if isinstance(v, list) else [v] for v in axes.values()]
    return [dict(zip(axes, chosen, strict=True)) for chosen in itertools.product(*values)]


def plan(notebook: str, axes: Mapping[str, Any]) -> list[Job]:
    """All runs of a grid, each once.

    Raises:
        ValueError: a parameter that the notebook does not take, or of another type than its default.
        FileNotFoundError: no such notebook.
    """
    jobs = [Job(records.provenance(notebook, params)) for params in grid(axes)]
    return list({job.origin.key: job for job in jobs}.values())


def declared(folder: Path) -> list[Job]:
    """All runs that the ``*.yml`` files of a folder declare, each once.

    A file holds a list of ``{notebook: path from the project's root, params: {name: value or list}}``.

    Raises:
        ValueError: an entry of another form, naming its file; and as `plan`.
    """
    jobs: dict[str, Job] = {}
    for file in sorted(folder.glob("*.yml")):
        for entry in yaml.safe_load(file.read_text(encoding="utf-8")) or []:
            if not isinstance(entry, dict) or set(entry) - {"params"} != {"notebook"}:
                raise ValueError(
                    f"{file.name}: an entry needs `notebook` and may have `params`; this is {entry!r}"
                )
            jobs |= {job.origin.key: job for job in plan(entry["notebook"], entry.get("params") or {})}
    return list(jobs.values())


def missing(jobs: Sequence[Job]) -> list[Job]:
    """Those without a current record."""
    return [job for job in jobs if not job.record.is_file()]


def execute(job: Job, threads: int) -> None:
    """Run one job with papermill in a process of its own, from the project's root.

    Raises:
        SweepError: the notebook failed (with the end of its message), or wrote no record.
    """
    job.notebook.parent.mkdir(parents=True, exist_ok=True)
    paths = [str(records.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(paths)}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as given:
        json.dump(job.origin.params, given)  # JSON is YAML, which papermill reads
        given.flush()
        source = str(records.ROOT / job.origin.experiment)
        command = [sys.executable, "-m", "papermill", source, str(job.notebook), "-f", given.name]
        done = subprocess.run(
            [*command, "--cwd", str(records.ROOT), "--no-progress-bar", "--no-log-output"],
            env=environment,
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise SweepError(f"{job.label} failed; see {job.notebook}\n{done.stderr[-2000:]}")
    if not job.record.is_file():
        raise SweepError(
            f"{job.label} ended without its record {job.record.name}: does it call records.save?"
        )


def run(jobs: Sequence[Job], workers: int = 2, report: Callable[[str], None] | None = None) -> int:
    """Run those jobs that have no current record, ``workers`` at a time.

    Args:
        report: told each finished run in words; None draws a progress bar.
    Returns:
        how many ran.
    Raises:
        SweepError: of the first run that failed; those in progress are let finish, no other is started.
    """
    todo = missing(jobs)
    if not todo:
        return 0
    threads = max(1, (os.cpu_count() or 1) // workers)
    with ThreadPoolExecutor(workers) as pool, tqdm(total=len(todo), disable=report is not None) as bar:
        futures: dict[Future[None], Job] = {pool.submit(execute, job, threads): job for job in todo}
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                if (error := future.exception()) is not None:
                    pool.shutdown(wait=True, cancel_futures=True)
                    raise error
                bar.update()
                if report is not None:
                    report(f"ran {futures[future].label}")
    return len(todo)


def command_line(arguments: Sequence[str] | None = None) -> int:
    """``python -m lib.sweep NOTEBOOK -p NAME VALUE... [--jobs N] [--dry-run]``; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lib.sweep", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("notebook", help="path from the project's root, e.g. book/runs/one_run.ipynb")
    parser.add_argument(
        "-p",
        dest="axes",
        nargs="+",
        action="append",
        default=[],
        metavar="NAME VALUE",
        help="one axis of the grid",
    )
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time (default 2)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would run")
    asked = parser.parse_args(arguments)
    axes = {name: [yaml.safe_load(v) for v in values] for name, *values in asked.axes}
    try:
        jobs = plan(asked.notebook, axes)
        if asked.dry_run:
            print(*(("missing " if not j.record.is_file() else "current ") + j.label for j in jobs), sep="\n")
            return 0
        ran = run(jobs, asked.jobs)
    except (SweepError, ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{ran} ran, {len(jobs) - ran} were current")
    return 0


if __name__ == "__main__":
    sys.exit(command_line())

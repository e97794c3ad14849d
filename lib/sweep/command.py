"""The command line of a sweep."""

import argparse
import signal
import sys
from collections.abc import Sequence

from lib.sweep.asked import asked_for
from lib.sweep.engine import keep, run
from lib.sweep.jobs import SweepError, missing


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m lib.sweep", description="Run an experiment over a grid of parameters."
    )
    made.add_argument("notebook", help="from the project's root: book/runs/one_run.ipynb, or a .yml of grids")
    made.add_argument(
        "-p",
        dest="axes",
        nargs="+",
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="one axis of the grid",
    )
    made.add_argument("--jobs", type=int, default=2, help="runs at a time (default 2)")
    made.add_argument("--dry-run", action="store_true", help="only say what would run")
    made.add_argument(
        "--keep",
        action="store_true",
        help="copy the records to data/measurements, for what a build cannot have",
    )
    return made


def command_line(arguments: Sequence[str] | None = None) -> int:
    """``python -m lib.sweep NOTEBOOK -p NAME VALUE... [--jobs N] [--dry-run] [--keep]``; the exit status."""
    asked = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a sweep that is ended ends its runs
    try:
        jobs = asked_for(asked.notebook, asked.axes)
        todo = missing(jobs)
        print(
            f"{len(jobs)} runs: {len(jobs) - len(todo)} current, {len(todo)} to run, {asked.jobs} at a time"
        )
        print(*(f"missing {job.label}" for job in todo), sep="\n", flush=True)
        if asked.dry_run:
            return 0
        ran = run(jobs, asked.jobs)
        kept = keep(jobs) if asked.keep else []
    except BrokenPipeError:  # whoever called says how such a process ends
        raise
    except (SweepError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what has run is kept, the same command goes on from there", file=sys.stderr)
        return 130
    print(f"{ran} ran, {len(jobs) - ran} were current")
    if kept:
        print(f"kept in {', '.join(sorted({str(path.parent) for path in kept}))}")
    return 0

"""The command line of a sweep."""

import argparse
import signal
import sys
from collections.abc import Sequence

from lib.sweep import failures, place
from lib.sweep.asked import asked_for
from lib.sweep.engine import keep, run_all
from lib.sweep.jobs import SweepError
from lib.sweep.report import announce


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
    place.options(made)
    made.add_argument("--retry-failed", action="store_true", help="run only what failed before")
    made.add_argument("--dry-run", action="store_true", help="only say what would run")
    made.add_argument(
        "--keep",
        action="store_true",
        help="copy the records to data/measurements, for what a build cannot have",
    )
    return made


def command_line(arguments: Sequence[str] | None = None) -> int:
    """``python -m lib.sweep NOTEBOOK -p NAME VALUE... [OPTIONS]``; the exit status, 1 where a run failed."""
    asked = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a sweep that is ended ends its runs
    try:
        where = place.chosen(asked)
        jobs = announce(asked_for(asked.notebook, asked.axes), where, asked.retry_failed)
        if asked.dry_run:
            return 0
        outcome = run_all(jobs, where)
        print(*outcome.lines(), sep="\n", flush=True)
        if outcome.failed:
            raise failures.told(outcome.failed)
        kept = keep(jobs) if asked.keep else []
    except BrokenPipeError:  # whoever called says how such a process ends
        raise
    except (SweepError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what has run is kept, the same command goes on from there", file=sys.stderr)
        return 130
    if kept:
        print(f"kept in {', '.join(sorted({str(path.parent) for path in kept}))}")
    return 0

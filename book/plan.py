"""``python -m book.plan``: what a build of the chosen profile (``$BOOK_PROFILE``) would run, before it does.

Seconds are operations of the unmerged forward passes over the rate that the profile names, so they are right
to a factor of a few; memory is that of the largest unmerged pass (`lib.vggt.memory`).
"""

import functools
import os
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from book.study.chosen import CHOSEN, IS_SHIPPED
from lib.pipes import reader_may_leave

if TYPE_CHECKING:
    from lib.sweep import Job
    from lib.vggt import VGGTConfig

START = 6.0  # seconds until a run's process has imported what it needs
PASSES = 20  # forward passes of a run for each scene, about: settings, strengths, probes


@functools.cache
def config_of(model: str) -> "VGGTConfig":
    """The configuration of a network by its name in a run; VGGT-1B's where it is not here."""
    from lib.run import ROOT
    from lib.vggt import VGGTConfig
    from lib.vggt.checkpoint import load

    paths = (ROOT / "data" / "weights" / f"{model}.safetensors", ROOT / model)
    found = next((path for path in paths if path.is_file()), None)
    return load(str(found)).config if found else VGGTConfig.vggt_1b(enable_track=False)


@functools.cache
def of_one_pass(model: str, frames: int) -> tuple[float, int]:
    """(operations, bytes at the peak) of an unmerged pass over square pictures."""
    from lib.costs.operations import forward_operations
    from lib.vggt.memory import estimate_memory

    config = config_of(model)
    side = config.image_size
    operations = forward_operations(config, config.layout(frames, side, side)).total
    return operations, estimate_memory(config, frames, side, side).peak


def cost(params: dict[str, Any]) -> tuple[float, int]:
    """(operations, bytes at the peak) of a run, about."""
    from lib.scenes.walks import single_scenes

    frames = max(int(params.get("frames", 32)), int(params.get("long", 0)))
    operations, peak = of_one_pass(params["model"], frames)
    return operations * PASSES * len(single_scenes(params["scene"])), peak


def lines(jobs: "list[Job]", todo: "list[Job]", rate: float) -> list[str]:
    """The plan in words."""
    from lib import records

    costs = [cost(job.origin.params) for job in todo]
    seconds = sum(operations for operations, _ in costs) / rate + START * len(todo)
    here = [path.stat().st_size for path in records.RECORDS.glob("*") if path.is_file()]
    each = sum(here) / len([p for p in records.RECORDS.glob("*.json")]) if here else 2e6
    by_notebook = Counter(Path(job.origin.experiment).stem for job in todo)
    return [
        f"{len(jobs)} runs: {len(jobs) - len(todo)} current, {len(todo)} to run",
        *(f"  {count:3d} of {name}" for name, count in sorted(by_notebook.items())),
        f"about {seconds / 60:.0f} minutes of one worker, at {rate:.1g} operations a second",
        f"at most {max((peak for _, peak in costs), default=0) / 1e9:.1f} GB of memory in one run",
        f"about {each * len(todo) / 1e6:.0f} MB of records in {records.RECORDS.relative_to(records.ROOT)}",
    ]


def left_out() -> "Counter[str]":
    """Reason -> how many runs of the shipped book this profile has none for."""
    from book.study.profile import BOOK, RUNS, NotMeasured
    from lib import sweep

    found = Counter[str]()

    def adapt(experiment: str, asked: Mapping[str, Any]) -> dict[str, Any] | None:
        try:
            return BOOK.adapt(experiment, asked)
        except NotMeasured as reason:
            found[str(reason)] += 1
            return None

    sweep.declared(RUNS, adapt)
    return found


def main() -> int:
    """Print the plan; the exit status."""
    if not IS_SHIPPED:
        os.environ["RECORDS_FOLDER"] = f"records-of/{Path(CHOSEN).stem}"
    from book.study.entries import EntryError
    from lib import sweep

    try:
        from book.study.profile import BOOK

        jobs = BOOK.jobs()
        print(f"Profile {BOOK.name}: {BOOK.title}, on {BOOK.device}")
        print(*lines(jobs, sweep.missing(jobs), BOOK.operations_per_second), sep="\n")
        print(*(f"{count} not here: {reason}" for reason, count in left_out().items()), sep="\n")
    except (EntryError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    with reader_may_leave():
        status = main()
    sys.exit(status)

"""``python -m book.plan``: what a build of the chosen profile (``$BOOK_PROFILE``) would run, before it does.

Seconds and disk are those of the earlier run of the same notebook and kind of device that comes nearest in
operations, whatever its profile and code, times the ratio of operations. A notebook that never ran is counted
by its operations over the rate that the profile names: right to a factor of a few. Memory is that of the
largest unmerged pass (`lib.vggt.memory`), with the frames of all scenes of its run and the process itself.
"""

import functools
import math
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from book.study.chosen import CHOSEN, IS_SHIPPED
from lib.pipes import reader_may_leave

if TYPE_CHECKING:
    from lib.sweep import Job
    from lib.sweep.estimates import Earlier
    from lib.vggt import VGGTConfig

START = 6.0  # seconds until a run's process has imported what it needs
PASSES = 20  # forward passes of a run for each scene, about: settings, strengths, probes
PROCESS = 0.4e9  # bytes of a run's process before its first pass: measured, with PyTorch for the CPU
RECORD = 2e6  # bytes, where no run of a notebook has a record


@dataclass(frozen=True)
class Cost:
    """What one run takes. peak: bytes of memory; disk: of its record; known: by an earlier run."""

    seconds: float
    peak: float
    disk: float
    known: bool


@functools.cache
def config_of(model: str) -> "VGGTConfig":
    """The configuration of a network by its name in a run; VGGT-1B's where it is not here."""
    from lib.run import ROOT, random_config
    from lib.vggt import VGGTConfig
    from lib.vggt.checkpoint import load

    if model == "random":
        return random_config()
    paths = (ROOT / "data" / "weights" / f"{model}.safetensors", ROOT / model)
    found = next((path for path in paths if path.is_file()), None)
    return load(str(found)).config if found else VGGTConfig.vggt_1b(enable_track=False)


def longest(params: Mapping[str, Any]) -> int:
    """Frames of the longest pass of a run."""
    return max(params.get("lengths") or [params.get("frames", 32), params.get("long", 0)])


@functools.cache
def of_one_pass(model: str, frames: int, device: str = "cpu") -> tuple[float, float]:
    """(operations, bytes at the peak) of an unmerged pass over square pictures."""
    import torch

    from lib.costs.operations import forward_operations
    from lib.vggt.memory import ALLOCATOR_MARGIN, CUDA_MARGIN, estimate_memory

    config = config_of(model)
    side = config.image_size
    operations = forward_operations(config, config.layout(frames, side, side)).total
    on_gpu = device.startswith("cuda")
    half = torch.bfloat16 if on_gpu else None
    peak = estimate_memory(config, frames, side, side, autocast=half).peak
    return operations, peak * (CUDA_MARGIN if on_gpu else ALLOCATOR_MARGIN)


def operations_of(params: Mapping[str, Any]) -> float:
    """Operations of a run, about."""
    from lib.scenes.walks import single_scenes

    return of_one_pass(params["model"], longest(params))[0] * PASSES * len(single_scenes(params["scene"]))


def memory_of(params: Mapping[str, Any]) -> float:
    """Bytes at the peak of a run, about."""
    from lib.scenes.walks import single_scenes

    frames, side = longest(params), config_of(params["model"]).image_size
    pictures = 3 * 4 * frames * side**2 * len(single_scenes(params["scene"]))
    return PROCESS + pictures + of_one_pass(params["model"], frames, params.get("device", "cpu"))[1]


def counted(experiment: str) -> "list[tuple[float, Earlier]]":
    """Operations of every earlier run of a notebook whose networks and scenes can be counted, and the run."""
    from lib import records
    from lib.sweep import estimates

    found = []
    for run in estimates.earlier(experiment, [records.ROOT / "records", *records.ROOT.glob("records-of/*")]):
        try:
            found.append((operations_of(run.params), run))
        except (ValueError, KeyError, OSError):  # no run on scenes, or none that are still here
            continue
    return found


def cost(job: "Job", before: "Sequence[tuple[float, Earlier]]", rate: float) -> Cost:
    """What a run takes, from the earlier one that comes nearest, or from its operations alone."""
    params = job.origin.params
    operations, kind = operations_of(params), kind_of(params)
    alike = [(ops, run) for ops, run in before if kind_of(run.params) == kind]
    if not alike:
        return Cost(START + operations / rate, memory_of(params), RECORD, False)
    near, run = min(alike, key=lambda pair: abs(math.log(pair[0] / operations)))
    ratio = operations / near
    return Cost(START + run.seconds * ratio, memory_of(params), run.disk * ratio, True)


def kind_of(params: Mapping[str, Any]) -> str:
    """The kind of device: "cpu", "cuda"."""
    return str(params.get("device", "cpu")).partition(":")[0]


def lines(jobs: "Sequence[Job]", todo: "Sequence[Job]", rate: float) -> list[str]:
    """The plan in words."""
    from lib import records

    before = {name: counted(name) for name in {job.origin.experiment for job in todo}}
    costs = [cost(job, before[job.origin.experiment], rate) for job in todo]
    known = sum(one.known for one in costs)
    by_notebook = Counter(Path(job.origin.experiment).stem for job in todo)
    told = [f"{len(jobs)} runs: {len(jobs) - len(todo)} current, {len(todo)} to run"]
    if not todo:
        return told
    return [
        *told,
        *(f"  {count:3d} of {name}" for name, count in sorted(by_notebook.items())),
        f"about {sum(one.seconds for one in costs) / 60:.0f} minutes of one worker: {known} by earlier runs, "
        f"{len(costs) - known} by operations at {rate:.1g} a second",
        f"about {max(one.peak for one in costs) / 1e9:.1f} GB of memory in the largest run",
        f"about {sum(one.disk for one in costs) / 1e6:.0f} MB of records in "
        f"{records.RECORDS.relative_to(records.ROOT)}",
    ]


def left_out() -> "Counter[str]":
    """Reason -> how many runs of the shipped book this profile has none for."""
    from book.study.profile import BOOK, RUNS, NotMeasured
    from lib import sweep

    found = Counter[str]()
    for file in sorted(RUNS.glob("*.yml")):
        for entry in yaml.safe_load(file.read_text(encoding="utf-8")):
            for asked in sweep.grid(entry.get("params") or {}):
                try:
                    BOOK.adapt(entry["notebook"], asked)
                except NotMeasured as reason:
                    found[str(reason)] += 1
    return found


def plan(jobs: "Sequence[Job]") -> list[str]:
    """What the chosen profile would do to have these runs, its own, and what it has none for."""
    from book.study.profile import BOOK
    from lib import sweep

    return [
        f"Profile {BOOK.name}: {BOOK.title}, on {BOOK.device}",
        *lines(jobs, sweep.missing(jobs), BOOK.operations_per_second),
        *(f"{count} not here: {reason}" for reason, count in left_out().items()),
    ]


def main() -> int:
    """Print the plan; the exit status."""
    if not IS_SHIPPED:
        os.environ["RECORDS_FOLDER"] = f"records-of/{Path(CHOSEN).stem}"
    from book.study.entries import EntryError

    try:
        from book.study.profile import BOOK

        print(*plan(BOOK.jobs()), sep="\n")
    except (EntryError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    with reader_may_leave():
        status = main()
    sys.exit(status)

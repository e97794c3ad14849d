"""How long runs will take and how much memory, by the records of earlier ones, whatever their code was."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib import records
from lib.sweep.jobs import Job
from lib.sweep.place import Place


@dataclass(frozen=True)
class Earlier:
    """What a run took: seconds, bytes of its record, MiB of its process and on its GPU where measured."""

    params: Mapping[str, Any]
    seconds: float
    disk: int
    memory: float | None
    gpu_memory: float | None
    started: str


@dataclass(frozen=True)
class Likely:
    """What a run will take, about: as `Earlier`; alike: an earlier run had the same parameters."""

    seconds: float
    memory: float | None
    gpu_memory: float | None
    alike: bool


def earlier(experiment: str, more: Iterable[Path] = ()) -> list[Earlier]:
    """Earlier runs of an experiment, of which a record is here, in more folders or kept; newest last."""
    kept = sorted(path for path in records.MEASUREMENTS.glob("*") if path.is_dir())
    folders = dict.fromkeys([records.RECORDS, *more, *kept])
    pattern = f"{records.store.stem(experiment)}-*.json"
    read = (_read(path) for folder in folders for path in sorted(folder.glob(pattern)))
    found = [run for known, run in (pair for pair in read if pair is not None) if known == experiment]
    return sorted(found, key=lambda run: run.started)


def _read(path: Path) -> tuple[str, Earlier] | None:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        memory = (raw.get("memory"), raw.get("gpu_memory"))
        disk = sum(file.stat().st_size for file in (path, path.with_suffix(".npz")) if file.is_file())
        run = Earlier(raw["params"], float(raw["seconds"]), disk, *memory, raw["started"])
        return raw["experiment"], run
    except (OSError, ValueError, KeyError, TypeError):  # damaged: it says nothing
        return None


def distance(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """How unlike two runs are: for each parameter 0 to 1, of positive numbers by their ratio.

    One that an earlier run did not have yet counts as equal. Another device is another world.
    """
    total = 0.0
    for name in one.keys() & other.keys():
        mine, theirs = one[name], other[name]
        if mine == theirs:
            continue
        if name == "device" and str(mine).partition(":")[0] != str(theirs).partition(":")[0]:
            return math.inf
        numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (mine, theirs))
        near = numbers and min(mine, theirs) > 0
        total += min(1.0, abs(math.log(mine / theirs))) if near else float(name != "seed")
    return total


def likely(job: Job, known: Sequence[Earlier]) -> Likely | None:
    """As the nearest earlier run, the newest of several; None: there is none on such a device."""
    if not known:
        return None
    distances = [distance(job.origin.params, run.params) for run in known]
    if (least := min(distances)) == math.inf:
        return None
    run = [run for run, apart in zip(known, distances, strict=True) if apart == least][-1]
    return Likely(run.seconds, run.memory, run.gpu_memory, least == 0)


def lines(todo: Sequence[Job], place: Place) -> list[str]:
    """Estimated time and memory of the runs of a plan, in words, and what does not fit into `place`."""
    if not todo:
        return []
    known = {experiment: earlier(experiment) for experiment in {job.origin.experiment for job in todo}}
    guesses = [likely(job, known[job.origin.experiment]) for job in todo]
    made = [guess for guess in guesses if guess is not None]
    if not made:
        return ["time and memory: unknown, no earlier run of the kind is here"]
    seconds = sum(guess.seconds for guess in made) * len(todo) / len(made)
    alike, none = sum(guess.alike for guess in made), len(todo) - len(made)
    basis = [f"{alike} as earlier runs with the same parameters, seed aside"] * (alike > 0)
    basis += [f"{len(made) - alike} as the most similar ones, not scaled"] * (alike < len(made))
    basis += [f"{none} as the others' average"] * (none > 0)
    time = f"time: about {duration(seconds)} of runs, {duration(seconds / min(place.jobs, len(todo)))} at "
    memory = largest(guess.memory for guess in made), largest(guess.gpu_memory for guess in made)
    told = [f"{time}{place.jobs} at a time ({'; '.join(basis)})", f"memory: {of_memory(*memory)} in one run"]
    longest = max(guess.seconds for guess in made)
    if place.minutes is not None and longest > 60 * place.minutes:
        told.append(f"warning: the longest takes about {duration(longest)}, more than --time")
    if place.memory is not None and memory[0] is not None and memory[0] * 2**20 > place.memory * 1e9:
        told.append("warning: the largest takes more than --memory-per-job")
    return told


def largest(values: Iterable[float | None]) -> float | None:
    """The largest of those that are known."""
    return max((value for value in values if value is not None), default=None)


def of_memory(memory: float | None, gpu_memory: float | None = None) -> str:
    """MiB of a process, and on a GPU, in words."""
    if memory is None:
        return "unknown"
    on_gpu = "" if gpu_memory is None else f" and {gpu_memory / 1024:.1f} GiB on the GPU"
    return (f"{memory:.0f} MiB" if memory < 1024 else f"{memory / 1024:.1f} GiB") + on_gpu


def duration(seconds: float) -> str:
    """Seconds below two minutes, else minutes, else hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

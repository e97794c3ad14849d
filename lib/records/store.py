"""Records on disk: JSON with arrays beside it, named by everything that they depend on."""

import contextlib
import hashlib
import io
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib import used
from lib.records import contents
from lib.records.experiments import declared
from lib.records.fingerprints import ROOT, WEIGHTS, Provenance, beyond, provenance
from lib.records.record import Quantity, Record

RECORDS = ROOT / os.environ.get("RECORDS_FOLDER", "records")  # not in _build: `make clean` leaves them alone
FORMERLY = ROOT / "_build" / "records"
MEASUREMENTS = ROOT / "data" / "measurements"
LISTED = 3  # changes that a banner names; the others it counts
STRAY_AFTER = 3600.0  # seconds after which a temporary file belongs to nobody


class StaleResultError(RuntimeError):
    """There is no result of the present code, weights and data; the message says what to run."""


def path_of(origin: Provenance, folder: Path = RECORDS) -> Path:
    """Where the record of such a run lies: ``<experiment>-<key>.json``."""
    return folder / f"{stem(origin.experiment)}-{origin.key}.json"


def stem(experiment: str) -> str:
    """``one_run`` of ``book/runs/one_run.ipynb``, ``lib.run`` of ``lib.run``."""
    return Path(experiment).stem if experiment.endswith(".ipynb") else experiment


def save(record: Record, folder: Path = RECORDS, root: Path = ROOT) -> Path:
    """Write a record; whoever reads the folder sees all of it or nothing.

    Where RECORDS hold the same numbers already they are left as they are, so that what was drawn from them,
    times included, stays current.

    Args:
        folder: RECORDS, or MEASUREMENTS for what a build cannot repeat (GPU).
    Raises:
        StaleResultError: code, weights or data changed while the run was going on; or the run has imported a
            module or opened a file of the project that is not in its key.
    """
    origin = record.provenance
    changed = origin.changes(provenance(origin.experiment, origin.params, root))
    if changed:
        raise StaleResultError(
            f"{origin.experiment}: changed during the run, run it again: {', '.join(changed)}"
        )
    if unkeyed := beyond(origin, root):
        raise StaleResultError(
            f"{origin.experiment} used what its key does not cover: {', '.join(unkeyed)}. Draw in cells "
            "tagged 'figure' after records.save; name data in a parameter or the notebook's metadata 'inputs'"
        )
    path, content = path_of(origin, folder), as_json(record)
    if folder == RECORDS and _agrees(path, record):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    _clear_strays(folder)
    if record.arrays:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **record.arrays)  # type: ignore[arg-type]
        content["arrays"] = {
            "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
            "names": list(record.arrays),
        }
        contents.replace(path.with_suffix(".npz"), buffer.getvalue())
    contents.replace(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
    return path


def _agrees(path: Path, record: Record) -> bool:
    """A record lies there that is equal bit by bit, times and memory aside."""
    there = found(path)
    return there is not None and json.dumps(there.comparable()) == json.dumps(record.comparable())


def found(path: Path) -> Record | None:
    """The record there, if it is whole: one that is damaged is as good as none, and its run repeats."""
    with used.unwatched(), contextlib.suppress(FileNotFoundError, StaleResultError):
        return read(path)
    return None


def bring_home() -> int:
    """Move records from where they used to lie, below ``_build``, to RECORDS; how many files."""
    if not FORMERLY.is_dir():
        return 0
    RECORDS.mkdir(parents=True, exist_ok=True)
    old = sorted(FORMERLY.iterdir(), key=lambda path: path.suffix != ".npz")  # arrays before their record
    for path in old:
        with contextlib.suppress(FileNotFoundError):  # another process moved it meanwhile
            os.replace(path, RECORDS / path.name)
    with contextlib.suppress(OSError):
        FORMERLY.rmdir()
    return len(old)


def _clear_strays(folder: Path) -> None:
    """Delete temporary files that a killed run left; one in use by another run may vanish meanwhile."""
    with used.unwatched():
        strays = list(folder.glob("*.tmp"))
    for stray in strays:
        with contextlib.suppress(FileNotFoundError):
            if time.time() - stray.stat().st_mtime > STRAY_AFTER:
                stray.unlink()


def as_json(record: Record) -> dict[str, Any]:
    """A record without its arrays, as it is written."""
    origin = record.provenance
    weights = {n: h for n, h in origin.inputs.items() if Path(n).suffix in WEIGHTS}
    return {
        "experiment": origin.experiment,
        "params": origin.params,
        "seed": record.seed,
        "measurements": {n: q._asdict() for n, q in record.measurements.items()},
        "kept": record.kept,
        "device": record.device,
        "started": record.started,
        "seconds": record.seconds,
        "memory": record.memory,
        "gpu_memory": record.gpu_memory,
        "code": origin.code,
        "weights": weights,
        "data": {n: h for n, h in origin.inputs.items() if n not in weights},
        "versions": origin.versions,
    }


def read(path: Path) -> Record:
    """A record as it was written, whatever has changed since.

    Raises:
        StaleResultError: it is damaged, or its arrays are missing or are not the ones written with it.
    """
    try:
        return _from_json(path, json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise StaleResultError(f"{path.name} is damaged ({error!r}); run it again") from error


def _from_json(path: Path, raw: dict[str, Any]) -> Record:
    inputs = raw["weights"] | raw["data"]
    origin = Provenance(raw["experiment"], raw["params"], raw["code"], inputs, raw["versions"])
    arrays: dict[str, NDArray[Any]] = {}
    if "arrays" in raw:
        beside = path.with_suffix(".npz")
        content = beside.read_bytes() if beside.is_file() else b""
        if hashlib.sha256(content).hexdigest() != raw["arrays"]["sha256"]:
            raise StaleResultError(
                f"{beside.name} is missing or not the one written with {path.name}; run it again"
            )
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    measurements = {n: Quantity(q["value"], q["unit"]) for n, q in raw["measurements"].items()}
    about = {name: raw[name] for name in ("device", "started", "seconds", "kept")}
    about |= {name: raw.get(name) for name in ("memory", "gpu_memory")}  # not in older ones
    return Record(origin, measurements, arrays=arrays, **about)


def load(experiment: str, /, **params: Any) -> Record:
    """The record of a run with the present code, weights, data and versions.

    Raises:
        StaleResultError: there is none; says what has changed since the newest run with these parameters.
        ValueError: a parameter that the notebook does not take.
    """
    return load_from(RECORDS, ROOT, experiment, params)


def load_from(folder: Path, root: Path, experiment: str, params: Mapping[str, Any]) -> Record:
    """`load` from any folder of records of any project root."""
    now = provenance(experiment, params, root)
    path = path_of(now, folder)
    if path.is_file():
        return read(path)
    older = list[Provenance]()
    with contextlib.suppress(StaleResultError):  # an older one that is damaged says nothing
        older = [r.provenance for r in _same_run(folder, root, now)]
    why = f"changed since the last run: {', '.join(older[-1].changes(now))}" if older else "it never ran"
    flags = " ".join(f"-p {k} {v}" for k, v in params.items())
    raise StaleResultError(
        f"no current record of {experiment} with {dict(params)}: {why}. "
        f"Run `python -m lib.sweep {experiment} {flags}`, or declare it in book/runs/*.yml"
    )


def load_sweep(experiment: str, grid: Iterable[Mapping[str, Any]]) -> list[Record]:
    """Records of many runs, in the order of ``grid``; raises as `load` does."""
    return [load(experiment, **params) for params in grid]


def _same_run(folder: Path, root: Path, now: Provenance) -> list[Record]:
    """Records of the same experiment and parameters, oldest first, whatever code made them.

    One from before a parameter was there counts as a run with that parameter's default.
    """
    defaults = declared(now.experiment, root) if now.experiment.endswith(".ipynb") else {}
    listed = [read(p) for p in used.listed(folder, f"{stem(now.experiment)}-*.json")]
    same = [
        r for r in listed if (r.provenance.experiment, defaults | r.params) == (now.experiment, now.params)
    ]
    same = [replace(r, provenance=replace(r.provenance, params=now.params)) for r in same]
    return sorted(same, key=lambda r: r.started)


@dataclass(frozen=True)
class Measured:
    """A record from a machine that a build cannot have, and whether it still describes the present code.

    Attributes:
        record: as written on that machine.
        changed: source, weights and data files that differ now; empty where nothing does. Package versions
            are those of the other machine and never count. Inputs that are not here cannot be compared.
    """

    record: Record
    changed: tuple[str, ...]

    @property
    def banner(self) -> str | None:
        """What a page must show above the result, or None while the code is the same."""
        if not self.changed:
            return None
        names, others = [name.removeprefix("code ") for name in self.changed], len(self.changed) - LISTED
        more = f" and {others} more" if others > 0 else ""
        since = f"changed since: {', '.join(names[:LISTED])}{more}"
        return f"Measured with other code ({self.record.started[:10]}); {since}"

    @property
    def origin(self) -> str:
        """Device and date, for a caption."""
        return f"{self.record.device}, {self.record.started[:10]}"


def load_measured(experiment: str, /, **params: Any) -> Measured:
    """The newest measurement of such a run in ``data/measurements``, with what has changed since.

    Raises:
        StaleResultError: there is none.
    """
    return measured_in(MEASUREMENTS, ROOT, experiment, params)


def measured_in(folder: Path, root: Path, experiment: str, params: Mapping[str, Any]) -> Measured:
    """`load_measured` from any folder of records of any project root."""
    now = provenance(experiment, params, root, absent=True)
    runs = _same_run(folder, root, now)
    if not runs:
        raise StaleResultError(f"{folder.name} holds no run of {experiment} with {dict(params)}")
    record = runs[-1]
    absent = {f"inputs {name}" for name in record.provenance.inputs.keys() - now.inputs.keys()}
    changed = record.provenance.changes(now, versions=False)
    return Measured(record, tuple(c for c in changed if c not in absent))

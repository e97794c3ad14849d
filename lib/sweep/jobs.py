"""Which runs there are: grids of parameters, and which of their runs have no current record."""

import itertools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lib import records

Adapt = Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None]


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
    def log(self) -> Path:
        """Where what its process wrote goes."""
        return records.ROOT / "_build" / "runs" / "logs" / f"{self.record.stem}.log"

    @property
    def label(self) -> str:
        """Notebook and parameters, for messages."""
        return f"{self.origin.experiment} {json.dumps(self.origin.params)}"


def grid(axes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every combination of values: a list is an axis, anything else is one fixed value.

    >>> grid({"m": [0.0, 0.5], "seed": 0})
    [{'m': 0.0, 'seed': 0}, {'m': 0.5, 'seed': 0}]

    Raises:
        ValueError: an axis without values.
    """
    for name, value in axes.items():
        if isinstance(value, list) and not value:
            raise ValueError(f"axis {name} has no value, needed is at least one")
    values = [v if isinstance(v, list) else [v] for v in axes.values()]
    return [dict(zip(axes, chosen, strict=True)) for chosen in itertools.product(*values)]


def notebook_path(notebook: str) -> str:
    """A notebook's path from the project's root, in one spelling: a/./b.ipynb is a/b.ipynb.

    Raises:
        ValueError: it does not end in .ipynb.
    """
    if not notebook.endswith(".ipynb"):
        raise ValueError(f"{notebook} is no notebook; give a path from the project's root, ending in .ipynb")
    return Path(os.path.relpath(records.ROOT / notebook, records.ROOT)).as_posix()


def plan(
    notebook: str,
    axes: Mapping[str, Any],
    adapt: Adapt = lambda _, params: params,
    seen: dict[str, Any] | None = None,
) -> list[Job]:
    """All runs of a grid, each once, with the parameters that `adapt` makes of theirs; None: no such run.

    Args:
        seen: as in `records.provenance`, from grid to grid.
    Raises:
        ValueError: a parameter that the notebook does not take, or of another type than its default; an axis
            without values; a path that does not end in .ipynb.
        FileNotFoundError: no such notebook.
    """
    notebook, seen = notebook_path(notebook), {} if seen is None else seen
    adapted = [here for params in grid(axes) if (here := adapt(notebook, params)) is not None]
    jobs = [Job(records.provenance(notebook, params, seen=seen)) for params in adapted]
    return list({job.origin.key: job for job in jobs}.values())


def declared(path: Path, adapt: Adapt = lambda _, params: params) -> list[Job]:
    """All runs that a file, or the ``*.yml`` files of a folder, declare, each once; `adapt` as in `plan`.

    A file holds a list of ``{notebook: path from the project's root, params: {name: value or list}}``.

    Raises:
        ValueError: an entry of another form, naming its file; and as `plan`.
    """
    jobs, seen = dict[str, Job](), dict[str, Any]()
    for file in [path] if path.is_file() else sorted(path.glob("*.yml")):
        for entry in yaml.safe_load(file.read_text(encoding="utf-8")) or []:
            if not isinstance(entry, dict) or set(entry) - {"params"} != {"notebook"}:
                raise ValueError(
                    f"{file.name}: an entry needs `notebook` and may have `params`; this is {entry!r}"
                )
            runs = plan(entry["notebook"], entry.get("params") or {}, adapt, seen)
            jobs |= {job.origin.key: job for job in runs}
    return list(jobs.values())


def missing(jobs: Sequence[Job]) -> list[Job]:
    """Those without a whole current record; records of before are first moved to where they lie now."""
    if moved := records.bring_home():
        print(f"moved {moved} files from _build/records to records, which `make clean` leaves alone")
    return [job for job in jobs if records.found(job.record) is None]

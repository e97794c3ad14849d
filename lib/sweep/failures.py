"""Runs that failed: in which cell and why, kept until they succeed, so that a later sweep knows them."""

import contextlib
import json
import re
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lib import records
from lib.records.contents import replace, short
from lib.sweep.jobs import Job, SweepError

SHOWN = 2000  # characters of a log, from its end
PAPERMILLS = {"injected-parameters", "papermill-error-cell-tag"}  # cells that the author's notebook lacks
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Failure:
    """Why a run has no record.

    Attributes:
        cause: one line, the exception as Python prints it, or empty.
        cell: number of the cell in its notebook (from 1) and what stands there; None, "" where unknown.
        trace: traceback, or the end of the log.
        key: of the run that failed; code may have changed since.
        again: it was begun again since, and has not ended.
    """

    label: str
    cause: str
    cell: int | None
    source: str
    trace: str
    notebook: str
    log: str
    key: str
    again: bool = False

    @property
    def line(self) -> str:
        """Run, cell and cause."""
        where = f" in cell {self.cell}" if self.cell is not None else ""
        return f"{self.label} failed{where}{f': {self.cause}' if self.cause else ''}"

    def __str__(self) -> str:
        """In full; its last line is the exception's message."""
        source = self.source.strip().splitlines()
        begins = f"\n  cell {self.cell} begins: {source[0]}" if source else ""
        places = f"\n  executed notebook: {self.notebook}\n  log: {self.log}"
        return f"{self.line}{begins}{places}\n{self.trace}"


def path_of(job: Job) -> Path:
    """Where the failure of a run with these parameters is kept, whatever its code was."""
    name = short(json.dumps([job.origin.experiment, job.origin.params], sort_keys=True).encode())
    return records.ROOT / "_build" / "runs" / "failed" / f"{name}.json"


@contextlib.contextmanager
def kept(job: Job) -> Iterator[None]:
    """Keep what a run raises, in its own process: the sweep may be gone by then."""
    try:
        yield
    except Exception as error:
        raised(job, error)
        raise
    forget(job)


def raised(job: Job, error: Exception) -> Failure:
    """Keep why a run has no record."""
    cell, source = (None, "") if isinstance(error, SweepError) else _unfinished(job)
    trace, cause = "".join(traceback.format_exception(error)), f"{type(error).__name__}: {error}"
    if found := getattr(error, "traceback", None):  # papermill's, of the kernel
        trace, cause = "\n".join(found), f"{error.ename}: {error.evalue}"  # type: ignore[attr-defined]
    return _keep(job, cause.strip().partition("\n")[0], cell, source, COLOURS.sub("", trace).rstrip())


def found(job: Job) -> Failure | None:
    """The last failure of a run with these parameters, if it has not succeeded since."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Failure(**json.loads(path_of(job).read_text(encoding="utf-8")))
    return None


def ended(job: Job) -> Failure:
    """Why a run has ended without its record: what it kept itself or, where it was killed, its log."""
    if (own := found(job)) is not None and not own.again and own.key == job.origin.key:
        return own
    text = job.log.read_text(encoding="utf-8", errors="replace") if job.log.is_file() else "it wrote no log"
    text = COLOURS.sub("", text).rstrip()
    causes = re.findall(r"^\S*(?:Error|Exception|Interrupt): .*", text, re.MULTILINE)
    cause = causes[-1] if causes else "its process ended without a word, as one that is killed"
    return _keep(job, cause, *_unfinished(job), f"  end of the log:\n{text[-SHOWN:]}")


def begun(job: Job) -> None:
    """Note that a run which failed is on its way again; what is known of its failure stays."""
    if (last := found(job)) is not None:
        _write(job, asdict(last) | {"again": True})


def forget(job: Job) -> None:
    """It has succeeded."""
    path_of(job).unlink(missing_ok=True)


def _keep(job: Job, cause: str, cell: int | None, source: str, trace: str) -> Failure:
    places = str(job.notebook), str(job.log)
    made = Failure(job.label, cause, cell, source, trace, *places, job.origin.key)
    _write(job, asdict(made))
    return made


def _write(job: Job, content: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # a full disk: the failure is told all the same
        path_of(job).parent.mkdir(parents=True, exist_ok=True)
        replace(path_of(job), json.dumps(content, indent=1).encode())


def _unfinished(job: Job) -> tuple[int | None, str]:
    """The last cell that papermill has begun: its number and its source."""
    with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
        cells = json.loads(job.notebook.read_text(encoding="utf-8"))["cells"]
        own = [cell for cell in cells if not PAPERMILLS.intersection(cell["metadata"].get("tags", []))]
        begun = [k for k, cell in enumerate(own) if cell["metadata"].get("papermill", {}).get("start_time")]
        return begun[-1] + 1, "".join(own[begun[-1]]["source"])
    return None, ""


def told(failures: "list[Failure]", in_full: int = 3) -> SweepError:
    """All failures in words: the first in full, of the others run, cell and cause."""
    parts = [str(failure) for failure in failures[:in_full]]
    return SweepError("\n".join([*(failure.line for failure in failures[in_full:]), *parts]))

"""What this process has used of the project: modules imported, files read, folders listed, runs asked for.

Python tells an audit hook of every file that is opened, whoever opens it. Code that opens one without Python
(safetensors) says so itself with ``sys.audit("open", path, "rb", os.O_RDONLY)``. What a child process reads
is not seen.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOOKS = ("os.listdir", "os.scandir")
# Imports are in sys.modules; tracebacks (torch's own bookkeeping of operators makes some) quote any source.
UNNOTED = (
    *("importlib._bootstrap_external", "_frozen_importlib_external", "importlib.metadata"),
    *("linecache", "tokenize"),
)


class _Seen:
    """The one list of this process: a hook is for the whole process, and cannot be taken away."""

    def __init__(self) -> None:
        self.roots: set[str] = set()
        self.paused = 0
        self.files: set[str] = set()
        self.listings: set[tuple[str, str]] = set()
        self.runs: set[tuple[str, str]] = set()


_seen = _Seen()


def watch(root: Path = ROOT) -> None:
    """Note from here on what is opened and listed below ``root``."""
    if not _seen.roots:
        sys.addaudithook(_note)
    _seen.roots.add(f"{root}{os.sep}")


def _note(event: str, args: tuple[Any, ...]) -> None:
    if _seen.paused or not (event == "open" or event in LOOKS):
        return
    if sys._getframe(1).f_globals.get("__name__") in UNNOTED:
        return
    target = os.getcwd() if args[0] is None else args[0]
    if isinstance(target, int):
        return
    path = os.path.abspath(os.fsdecode(target))
    if not any(path.startswith(root) and _ours(path, root) for root in _seen.roots):
        return
    if event in LOOKS:
        _seen.listings.add((path, "*"))
    elif args[2] & os.O_ACCMODE != os.O_WRONLY:
        _seen.files.add(path)


def _ours(path: str, root: str) -> bool:
    """A part of the project: nothing hidden, as .venv and .git are, not installed, not compiled."""
    relative = path[len(root) :]
    installed = any(mark in relative for mark in ("site-packages", ".egg-info", "__editable__"))
    return not (relative.startswith(".") or installed or relative.endswith(".pyc"))


@contextlib.contextmanager
def unwatched() -> Iterator[None]:
    """Read without note: for what is accounted for in another way."""
    _seen.paused += 1
    try:
        yield
    finally:
        _seen.paused -= 1


def listed(folder: Path, pattern: str) -> list[Path]:
    """Paths below ``folder`` that match a pattern, sorted; noted as this question, not as whole folders."""
    _seen.listings.add((str(folder), pattern))
    with unwatched():
        return sorted(folder.rglob(pattern))


def asked(experiment: str, params: dict[str, Any]) -> None:
    """Note that something depends on what a run of ``experiment`` depends on."""
    _seen.runs.add((experiment, json.dumps(params, sort_keys=True)))


def files(root: Path = ROOT) -> set[str]:
    """Files read so far, as paths from ``root``."""
    return {os.path.relpath(path, root) for path in _seen.files if path.startswith(f"{root}{os.sep}")}


def modules(root: Path = ROOT) -> set[str]:
    """Source files of the modules imported so far, as paths from ``root``.

    Some modules only claim a file: torch's says "_ops.py", whatever the working folder.
    """
    named = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    sources = {name for name in named if isinstance(name, str) and os.path.isabs(name)}
    prefix = f"{root}{os.sep}"
    return {os.path.relpath(s, root) for s in sources if s.startswith(prefix) and _ours(s, prefix)}


def dependencies(root: Path = ROOT) -> list[str]:
    """All of it: lines ``module M``, ``file F``, ``listing FOLDER PATTERN``, ``run NOTEBOOK PARAMS``."""
    prefix = f"{root}{os.sep}"
    looks = {(os.path.relpath(f, root), p) for f, p in _seen.listings if f"{f}{os.sep}".startswith(prefix)}
    return sorted(
        [
            *(f"module {name}" for name in modules(root)),
            *(f"file {name}" for name in files(root)),
            *(f"listing {folder} {pattern}" for folder, pattern in looks),
            *(f"run {experiment} {params}" for experiment, params in _seen.runs),
        ]
    )

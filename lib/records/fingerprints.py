"""Everything that a result depends on, as one value with one hash."""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from lib import used
from lib.records.code import PACKAGES as OURS
from lib.records.code import code_hashes
from lib.records.experiments import complete

ROOT = used.ROOT
PACKAGES = ("torch", "numpy", "scipy", "pillow", "safetensors")  # those whose release can move a number
BOOKKEEPING = ("lib/records/", "lib/used.py")  # names and stores results; changes no number
WEIGHTS = {".safetensors", ".pt", ".bin"}


@dataclass(frozen=True)
class Provenance:
    """What a result depends on.

    Attributes:
        experiment: notebook path or module name.
        params: every parameter, defaults included.
        code, inputs: hash of each source file, and of each weights or data file or folder.
        versions: Python and the packages that compute.
    """

    experiment: str
    params: dict[str, Any]
    code: dict[str, str]
    inputs: dict[str, str]
    versions: dict[str, str]

    @property
    def key(self) -> str:
        """16 hexadecimal digits: equal exactly where everything above is equal."""
        text = json.dumps(vars(self), sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def changes(self, now: "Provenance", versions: bool = True) -> tuple[str, ...]:
        """What differs between this and ``now``, in words: files, parameters and (if asked) versions."""
        parts = ["params", "code", "inputs"] + ["versions"] * versions
        found = [] if self.experiment == now.experiment else [f"experiment {now.experiment}"]
        for part in parts:
            old, new = getattr(self, part), getattr(now, part)
            found += [f"{part} {k}" for k in sorted(old.keys() | new.keys()) if old.get(k) != new.get(k)]
        return tuple(found)


class NoProjectError(FileNotFoundError):
    """`lib` was installed without the project around it: no notebooks, no weights, nothing to hash."""


def provenance(experiment: str, params: Mapping[str, Any], root: Path = ROOT) -> Provenance:
    """Look up everything that a run of ``experiment`` with ``params`` would depend on now.

    Raises:
        NoProjectError: `lib` was installed as a wheel.
        FileNotFoundError: no such experiment.
        ValueError: a parameter that the notebook does not take.
    """
    if root == ROOT and not (root / "book" / "runs").is_dir():
        raise NoProjectError(
            f"lib lies in {root}, without the notebooks, weights and data of its project: models, merging, "
            "spectra and metrics work there, runs and records do not. Clone the project and install it where "
            "it is, with pip install --editable ."
        )
    # Through JSON and back: tuples become lists, as they are in a record that was read.
    full = json.loads(json.dumps(complete(experiment, params, root)))
    used.asked(experiment, full)
    with used.unwatched():
        files = input_paths(experiment, full, root)
        inputs = {name: hash_path(path) for name, path in sorted(files.items())}
        return Provenance(experiment, full, code_hashes(experiment, root), inputs, versions())


def key(experiment: str, params: Mapping[str, Any], root: Path = ROOT) -> str:
    """Name of the record that a run of ``experiment`` with ``params`` would write now (16 hex digits)."""
    return provenance(experiment, params, root).key


def input_paths(experiment: str, params: Mapping[str, Any], root: Path) -> dict[str, Path]:
    """Files and folders that a run reads, by the name they have in its record.

    These are: whatever a parameter names (a path from ``root``, or weights in ``data/weights``), and the
    files matching the patterns in the notebook's metadata ``{"inputs": ["data/…/{parameter}*"]}``. A notebook
    without that entry depends on all of ``data`` but the measurements.
    """
    found: dict[str, Path] = {}
    for value in params.values():
        if isinstance(value, str) and value.strip():
            # "FOLDER#4" names pieces of a recording
            for name in (value.partition("#")[0], f"data/weights/{value}.safetensors"):
                if (root / name).exists():
                    found[name] = root / name
    if experiment.endswith(".ipynb"):
        meta = json.loads((root / experiment).read_text(encoding="utf-8")).get("metadata", {})
        for pattern in meta.get("inputs", ["data/**/*"]):
            hits = [p for p in root.glob(pattern.format(**params)) if p.is_file()]
            found |= {p.relative_to(root).as_posix(): p for p in hits}
    return {n: p for n, p in found.items() if not n.startswith("data/measurements/")}


def hash_path(path: Path) -> str:
    """Hash of a file's content, or of the names and contents of all files in a folder (16 hex digits)."""
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        if path.is_dir():
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def beyond(origin: Provenance, root: Path = ROOT) -> tuple[str, ...]:
    """What a notebook's process has used of the project that the key of its run does not cover, in words.

    A benchmark is not looked at: its process may be a test or a session, with much else in it.
    """
    if not origin.experiment.endswith(".ipynb"):
        return ()
    known = (*origin.code, *origin.inputs)
    ours = {n for n in used.modules(root) if n.split("/")[0] in OURS and not n.startswith(BOOKKEEPING)}
    opened = {f for f in used.files(root) if not any(f == n or f.startswith(f"{n}/") for n in known)}
    imported = sorted(ours - set(origin.code))
    return (*(f"imported {name}" for name in imported), *(f"opened {name}" for name in sorted(opened)))


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Python's version and those of the given packages that are installed; imports none of them."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found

"""Everything that a result depends on, as one value with one hash."""

import contextlib
import glob
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from lib import used
from lib.records.code import PACKAGES as OURS
from lib.records.code import code_hashes
from lib.records.contents import below, hash_files, short
from lib.records.experiments import complete
from lib.scenes.layouts import read_layout
from lib.scenes.names import ROOMS, folder_and_piece, located

ROOT = used.ROOT
PACKAGES = ("torch", "numpy", "scipy", "pillow", "safetensors")  # those whose release can move a number
LISTS = ("__init__", "consistency", "layouts", "names", "recording_files")  # of scenes: what there is to hash
# names and stores results; changes no number
BOOKKEEPING = ("lib/records/", "lib/used.py", *(f"lib/scenes/{name}.py" for name in LISTS))
WEIGHTS = {".safetensors", ".pt", ".pth", ".ckpt", ".bin"}


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
        return short(text.encode())

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


def provenance(
    experiment: str,
    params: Mapping[str, Any],
    root: Path = ROOT,
    seen: dict[str, Any] | None = None,
    absent: bool = False,
) -> Provenance:
    """Look up everything that a run of ``experiment`` with ``params`` would depend on now.

    Args:
        seen: hashes looked up a moment ago, by name; those looked up now are added. A sweep hands one on from
            run to run, so that code and each scene are hashed once.
        absent: leave out a scene that is not here, for records that came from another machine.

    Raises:
        NoProjectError: `lib` was installed as a wheel.
        FileNotFoundError: no such experiment.
        ValueError: a parameter that the notebook does not take; an input that cannot be read, so not hashed.
    """
    if root == ROOT and not any((root / part).is_dir() for part in ("book/runs", "data/weights")):
        raise NoProjectError(
            f"lib lies in {root}, without the notebooks, weights and data of its project: models, merging, "
            "spectra and metrics work there, runs and records do not. Clone the project and install it where "
            "it is, with pip install --editable ."
        )
    # Through JSON and back: tuples become lists, as they are in a record that was read.
    full = json.loads(json.dumps(complete(experiment, params, root)))
    used.asked(experiment, full)
    seen = {} if seen is None else seen
    with used.unwatched():
        paths = input_paths(experiment, full, root)
        for name, (path, recording) in paths.items():
            if name not in seen and (path.exists() or not absent):
                files = read_layout(path).files if recording else list(below(path))
                seen[name] = hash_files(path, files, root / "_build" / "hashes")
        inputs = {name: seen[name] for name in sorted(paths) if name in seen}
        if (source := f"code of {experiment}") not in seen:
            seen[source] = code_hashes(experiment, root)
        return Provenance(experiment, full, seen[source], inputs, versions())


def key(experiment: str, params: Mapping[str, Any], root: Path = ROOT) -> str:
    """Name of the record that a run of ``experiment`` with ``params`` would write now (16 hex digits)."""
    return provenance(experiment, params, root).key


def input_paths(experiment: str, params: Mapping[str, Any], root: Path) -> dict[str, tuple[Path, bool]]:
    """Files and folders that a run reads, by the name they have in its record; whether it is a recording.

    These are: the folder of ``scene``, if that is no test room; whatever another parameter names (a path, or
    weights in ``data/weights``); and the files matching the patterns in the notebook's metadata ``{"inputs":
    ["data/…/{parameter}*"]}``. A notebook without that entry depends on all of ``data`` but the measurements.
    """
    found: dict[str, tuple[Path, bool]] = {}
    texts = {name: value for name, value in params.items() if isinstance(value, str) and value.strip()}
    for parameter, value in texts.items():
        if parameter == "scene":
            if not ROOMS.fullmatch(value):
                folder = folder_and_piece(value, root)[0]
                found[folder] = located(folder, root), True
            continue
        with contextlib.suppress(ValueError, OSError):  # some texts cannot be the name of a file
            shipped = f"data/weights/{value}.safetensors"
            path = located(value, root)  # the list of a sharded checkpoint stands for its folder
            path = path.parent if value.endswith(".index.json") else path
            either = {value: path, shipped: root / shipped}
            found |= {name: (path, False) for name, path in either.items() if path.exists()}
    if experiment.endswith(".ipynb"):
        meta = json.loads((root / experiment).read_text(encoding="utf-8")).get("metadata", {})
        plain = dict(params) | {name: glob.escape(value) for name, value in texts.items()}
        for pattern in meta.get("inputs", ["data/**/*"]):
            hits = [p for p in root.glob(pattern.format(**plain)) if p.is_file()]
            found |= {p.relative_to(root).as_posix(): (p, False) for p in hits}
    return {n: p for n, p in found.items() if not n.startswith("data/measurements/")}


def beyond(origin: Provenance, root: Path = ROOT) -> tuple[str, ...]:
    """What a notebook's process has used of the project that the key of its run does not cover, in words.

    A benchmark is not looked at: its process may be a test or a session, with much else in it.
    """
    if not origin.experiment.endswith(".ipynb"):
        return ()
    known = [os.path.relpath(root / name, root) for name in (*origin.code, *origin.inputs)]
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

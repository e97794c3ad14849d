"""What the execution of a page depended on, as its kernel saw it, and whether all of that is still the same.

A page's key is what it really used the last time: its cells, every module imported (comments and docstrings
left out), every file opened, every folder listed, every run asked for, and the versions of packages. Nothing
is declared, so nothing can be forgotten; the same program that reads the same things shows the same page.
What cannot be a part of a key, a file that the build itself makes, is an error.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

EXECUTION = "book/_ext/pages.py"  # how pages are executed can change what they show
BUILT = "_build/"
PACKAGES = (
    *("torch", "numpy", "scipy", "pillow", "safetensors", "sympy", "pandas"),
    *("matplotlib", "ipykernel", "myst-nb", "Sphinx", "jupyter-book"),
)
ABSENT = "absent"


def sha(text: str) -> str:
    """16 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Present:
    """The project as it is now: the value of each dependency, looked up once."""

    def __init__(self, root: Path) -> None:
        from lib.records.fingerprints import versions

        self.root = root
        self.packages = versions(PACKAGES)
        self._known: dict[str, str] = {}

    def value(self, dependency: str) -> str:
        """Hash, key or version of what a line of `lib.used.dependencies` names; "absent" where it is gone."""
        if dependency not in self._known:
            kind, _, name = dependency.partition(" ")
            self._known[dependency] = getattr(self, f"_{kind}")(name)
        return self._known[dependency]

    def trace(self, cells: str, dependencies: list[str]) -> dict[str, str]:
        """All that a page depends on, with the present values."""
        always = [f"module {EXECUTION}", *(f"version {name}" for name in self.packages)]
        return {"cells": sha(cells)} | {name: self.value(name) for name in [*dependencies, *always]}

    def changes(self, trace: Mapping[str, str], cells: str) -> list[str]:
        """What differs from a trace: the names of its lines."""
        return [k for k, old in trace.items() if old != (sha(cells) if k == "cells" else self.value(k))]

    def _module(self, name: str) -> str:
        from lib.records.code import hash_code

        path = self.root / name
        return hash_code(path) if path.is_file() else ABSENT

    def _file(self, name: str) -> str:
        from lib.records.contents import hash_path

        path = self.root / name
        return hash_path(path) if path.is_file() else ABSENT

    def _listing(self, question: str) -> str:
        folder, _, pattern = question.rpartition(" ")
        look = (self.root / folder).glob if pattern == "*" else (self.root / folder).rglob
        names = sorted(p.relative_to(self.root).as_posix() for p in look(pattern) if p.name != "__pycache__")
        return sha(json.dumps(names)) if names else ABSENT

    def _run(self, question: str) -> str:
        from lib import records

        experiment, _, params = question.partition(" ")
        try:
            return records.key(experiment, json.loads(params), self.root)
        except (FileNotFoundError, ValueError):
            return ABSENT

    def _version(self, package: str) -> str:
        return self.packages.get(package, ABSENT)


def beyond(dependencies: list[str]) -> list[str]:
    """Files among the dependencies that no key can hold, since a build writes them."""
    return [name.partition(" ")[2] for name in dependencies if name.startswith(f"file {BUILT}")]

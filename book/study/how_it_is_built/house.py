"""The rooms of the house, who imports whom, and how large they are; read from the sources, nothing runs.

A room is what lies directly below ``lib`` or ``book/study``: a folder or a module. A room of ``book/study``
is a topic if a chapter or a notebook of the book bears its name, else topics share it.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lib.records.code import imported, significant

Arrows = dict[str, frozenset[str]]  # room -> rooms that it imports


class HouseError(ValueError):
    """Rooms import each other in a circle."""


@dataclass(frozen=True)
class Function:
    """One function or method: where it is, and its lines with signature and docstring."""

    name: str
    file: str
    lines: int


@dataclass(frozen=True)
class Size:
    """Lines of one room, those of them that can change a number, and lines of data in YAML.

    ``code`` counts lines without comments, docstrings and blank lines.
    """

    lines: int
    code: int
    data: int


@dataclass(frozen=True)
class House:
    """The sources below one root."""

    root: Path

    @cached_property
    def sources(self) -> dict[str, str]:
        """Path from the root -> text, of every module of ``lib`` and ``book/study``."""
        files = (p for folder in ("lib", "book/study") for p in sorted((self.root / folder).rglob("*.py")))
        return {p.relative_to(self.root).as_posix(): p.read_text(encoding="utf-8") for p in files}

    @cached_property
    def arrows(self) -> Arrows:
        """Every room and the rooms that it imports."""
        found: dict[str, set[str]] = defaultdict(set)
        for path, text in self.sources.items():
            room = room_of(path.removesuffix(".py").replace("/", "."))
            if room is not None:
                package = path.rpartition("/")[0].replace("/", ".")
                found[room] |= {other for name in imported(text, package) if (other := room_of(name))}
        return {room: frozenset(others & found.keys() - {room}) for room, others in sorted(found.items())}

    @cached_property
    def chapters(self) -> tuple[str, ...]:
        """Names of the pages that are text, in alphabetical order."""
        return tuple(sorted(p.stem for p in (self.root / "book").glob("*.md")))

    @cached_property
    def notebooks(self) -> tuple[str, ...]:
        """Names of the parameterised experiments."""
        return tuple(sorted(p.stem for p in (self.root / "book" / "runs").glob("*.ipynb")))

    @property
    def library(self) -> Arrows:
        """The arrows among the rooms of ``lib``."""
        return {room: others for room, others in self.arrows.items() if room.startswith("lib.")}

    @property
    def topics(self) -> tuple[str, ...]:
        """Rooms of ``book/study`` that serve one topic."""
        named = {*self.chapters, *self.notebooks}
        return tuple(room for room in self.arrows if last(room) in named and room not in self.library)

    @property
    def shared(self) -> tuple[str, ...]:
        """Rooms of ``book/study`` that topics share."""
        return tuple(room for room in self.arrows if room not in self.library and room not in self.topics)

    def size(self, room: str) -> Size:
        """Of one room."""
        texts = [text for path, text in self.sources.items() if lies_in(path, room)]
        code = sum(len(significant(text).splitlines()) for text in texts)
        data = (self.root / room.replace(".", "/")).rglob("*.yml")
        entries = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in data)
        return Size(sum(len(text.splitlines()) for text in texts), code, entries)

    def functions(self) -> list[Function]:
        """Every function and method, the longest first."""
        found = [Function(name, path, n) for path, text in self.sources.items() for name, n in measured(text)]
        return sorted(found, key=lambda function: (-function.lines, function.file, function.name))


def last(room: str) -> str:
    """The room's own name, without ``lib`` or ``book.study``."""
    return room.rpartition(".")[2]


def room_of(module: str) -> str | None:
    """The room in which a module lies; None for modules of others, and for the doors themselves."""
    parts = [part for part in module.split(".") if part != "__init__"]
    depth = 3 if parts[:2] == ["book", "study"] else 2 if parts[:1] == ["lib"] else 0
    return ".".join(parts[:depth]) if 0 < depth <= len(parts) else None


def lies_in(path: str, room: str) -> bool:
    """Whether a file belongs to a room."""
    folder = room.replace(".", "/")
    return path == f"{folder}.py" or path.startswith(f"{folder}/")


def measured(text: str) -> Iterator[tuple[str, int]]:
    """Name and number of lines of every function in a source text; methods with their class."""

    def walk(node: ast.AST, inside: str) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            name = f"{inside}{child.name}" if named else inside  # type: ignore[attr-defined]
            if named and not isinstance(child, ast.ClassDef):
                yield name, child.end_lineno - child.lineno + 1  # type: ignore[attr-defined]
            yield from walk(child, f"{name}." if named else inside)

    return walk(ast.parse(text), "")


def storeys(arrows: Mapping[str, frozenset[str]]) -> dict[str, int]:
    """Storey of each room: 0 imports no other, any other stands one above the highest that it imports.

    Raises:
        HouseError: rooms import each other in a circle; names them.
    """
    found: dict[str, int] = {}
    todo = dict(arrows)
    while todo:
        free = [room for room, others in todo.items() if not others & todo.keys()]
        if not free:
            raise HouseError(f"these rooms import each other in a circle: {', '.join(sorted(todo))}")
        for room in free:
            found[room] = 1 + max((found[other] for other in todo[room] & found.keys()), default=-1)
        todo = {room: others for room, others in todo.items() if room not in found}
    return found


def direct(arrows: Mapping[str, frozenset[str]]) -> Arrows:
    """The arrows without those that a longer way over other rooms implies."""
    reach: dict[str, frozenset[str]] = {}
    for room in sorted(arrows, key=storeys(arrows).__getitem__):
        below = [reach[other] for other in arrows[room] if other in reach]
        reach[room] = arrows[room].union(*below)
    return {
        room: frozenset(o for o in others if not any(o in reach.get(via, ()) for via in others - {o}))
        for room, others in arrows.items()
    }

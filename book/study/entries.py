"""Entries of YAML files, read strictly: a slip of the pen is one error that names file, entry and way out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_type_hints

import yaml

ROOT = Path(__file__).resolve().parents[2]
BLANK = re.compile(r"\{\{ ([^{}]*) \}\}")  # TeX never has these blanks inside its braces

T = TypeVar("T")


class EntryError(ValueError):
    """A YAML file of the book says something that its readers do not understand."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Safe YAML in which a mapping may not name a key twice (YAML's own rule, which PyYAML does not keep)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            name = self.construct_object(key)  # type: ignore[no-untyped-call]
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f"{name!r} stands here twice", problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def shown(path: Path) -> str:
    """The path from the project's root where it lies inside it."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def read(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """The mapping that a file holds, with no other top-level keys than ``keys``.

    Raises:
        EntryError: no such file, no valid YAML, no mapping, a key twice, or an unknown key.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise EntryError(f"{shown(path)}: there is no such file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise EntryError(f"{shown(path)}{line}: {getattr(error, 'problem', None) or error}") from None
    return mapping(content or {}, shown(path), keys)


def mapping(value: object, where: str, keys: tuple[str, ...] | None = None) -> dict[str, Any]:
    """``value`` as a mapping from names; with ``keys`` only those names are allowed.

    Raises:
        EntryError: it is none, or has another key; ``where`` begins the message.
    """
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise EntryError(f"{where}: expected names with values, got {value!r}")
    if keys is not None and (unknown := sorted(set(value) - set(keys))):
        raise EntryError(f"{where}: unknown {', '.join(map(repr, unknown))}; allowed: {', '.join(keys)}")
    return value


def build(cls: Callable[..., T], entry: object, where: str, **given: object) -> T:
    """A dataclass from an entry: its fields without those ``given`` are the allowed and required keys.

    Field types may be ``str``, ``float``, a ``StrEnum`` or ``tuple[str, ...]``.

    Raises:
        EntryError: an unknown, missing or mistyped key, or a value that the dataclass itself refuses.
    """
    known = [f for f in fields(cls) if f.name not in given]  # type: ignore[arg-type]
    content = mapping(entry, where, tuple(f.name for f in known))
    absent = [f.name for f in known if f.default is MISSING and f.name not in content]
    if absent:
        raise EntryError(f"{where}: {', '.join(map(repr, absent))} missing")
    hints = get_type_hints(cls)
    values = {name: typed(value, hints[name], f"{where}, {name}") for name, value in content.items()}
    try:
        return cls(**values, **given)
    except ValueError as error:
        raise EntryError(f"{where}: {error}") from None


def typed(value: object, kind: Any, where: str) -> Any:
    """``value`` as ``kind``: str, float, a StrEnum or a tuple of str; ``kind | None`` is as ``kind``.

    Raises:
        EntryError: it is of another kind; for a StrEnum the message lists the allowed words.
    """
    if isinstance(kind, UnionType):
        kind = get_args(kind)[0]
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind is str and isinstance(value, str) and value:
        return value
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if isinstance(value, str) and value in list(kind):
            return kind(value)
        raise EntryError(f"{where}: {value!r} is none of {', '.join(kind)}")
    if kind == tuple[str, ...] and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    wanted = {float: "a number", str: "text", tuple[str, ...]: "a list of names"}[kind]
    raise EntryError(f"{where}: expected {wanted}, got {value!r}")


def filled(value: Any, blanks: Mapping[str, str], where: str) -> Any:
    """``value`` with each ``{{ name }}`` in its texts, at any depth, replaced by what ``blanks`` has for it.

    Raises:
        EntryError: a name that is not known.
    """

    def put(found: re.Match[str]) -> str:
        if found[1] not in blanks:
            raise EntryError(f"{where}: nothing is called {found[0]}; known: {', '.join(sorted(blanks))}")
        return blanks[found[1]]

    if isinstance(value, str):
        return BLANK.sub(put, value)
    if isinstance(value, dict):
        return {key: filled(inner, blanks, where) for key, inner in value.items()}
    return [filled(inner, blanks, where) for inner in value] if isinstance(value, list) else value

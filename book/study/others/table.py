"""Numbers that others printed about VGGT-1B, read strictly, and what the law of frame 0's share says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from book.study import entries

FILE = Path(__file__).with_name("measured.yml")
T = TypeVar("T")


class Hand(StrEnum):
    """How near to the source a number was read."""

    FIRST = "first"
    ABSTRACT = "abstract"
    SECOND = "second"


class Expects(StrEnum):
    """What the law says of an error: it falls, it rises, or the law does not speak of it."""

    LESS = "less"
    MORE = "more"
    SILENT = "silent"


@dataclass(frozen=True)
class Source:
    """Where a number stands."""

    name: str
    link: str
    hand: Hand


@dataclass(frozen=True)
class Series:
    """One quantity, plain and changed, at several numbers of frames ("" where that was not read).

    m: the fusion strength of each, where it is not the same for all.

    Raises:
        ValueError: lists of different length, or digits that are no number.
    """

    source: str
    what: str
    frames: tuple[str, ...]
    plain: tuple[str, ...]
    changed: tuple[str, ...]
    error: str = "s"
    expects: Expects = Expects.SILENT
    because: str = ""
    m: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.frames) == len(self.plain) == len(self.changed) > 0:
            raise ValueError(f"frames, plain and changed differ in length: {self.frames}, {self.plain}")
        if self.m and len(self.m) != len(self.frames):
            raise ValueError(f"m and frames differ in length: {self.m}, {self.frames}")
        for digits in (*self.plain, *self.changed, *self.m, *filter(None, self.frames)):
            float(digits)

    @property
    def ratios(self) -> list[float]:
        """Changed over plain, one each number of frames."""
        return [float(new) / float(old) for new, old in zip(self.changed, self.plain, strict=True)]

    @property
    def outcomes(self) -> list[str]:
        """Whether each ratio lies on the side that the law expects: "as expected", "not", or "silent"."""
        if self.expects is Expects.SILENT:
            return ["silent"] * len(self.ratios)
        sign = 1 if self.expects is Expects.LESS else -1
        return ["as expected" if sign * (1 - ratio) > 0 else "not" for ratio in self.ratios]


@dataclass(frozen=True)
class Finding:
    """What a source says in words, and what the law says about it."""

    source: str
    says: str
    law: str


@dataclass(frozen=True)
class Others:
    """Everything in ``measured.yml``, by name."""

    sources: Mapping[str, Source]
    errors: Mapping[str, Series]
    seconds: Mapping[str, Series]
    findings: Mapping[str, Finding]


def load(path: Path = FILE) -> Others:
    """Read the file.

    Raises:
        EntryError: an entry breaks its form, or names a source that is not there.
    """
    content, where = entries.read(path, ("sources", "errors", "seconds", "findings")), entries.shown(path)

    def part(name: str, kind: Callable[..., T]) -> dict[str, T]:
        found = entries.mapping(content.get(name, {}), f"{where}, {name}")
        return {key: entries.build(kind, entry, f"{where}, {name}, {key}") for key, entry in found.items()}

    others = Others(
        part("sources", Source), part("errors", Series), part("seconds", Series), part("findings", Finding)
    )
    every: dict[str, Any] = {**others.errors, **others.seconds, **others.findings}
    if lost := sorted({one.source for one in every.values()} - others.sources.keys()):
        raise entries.EntryError(f"{where}: no source is called {', '.join(lost)}")
    if idle := sorted(others.sources.keys() - {one.source for one in every.values()}):
        raise entries.EntryError(f"{where}: nothing stands under the source {', '.join(idle)}")
    return others

"""Every number the paper prints, with the place it stands at; no other module or page may hold one.

They stand in ``printed.yml``; this module reads them. The paper is arXiv 2512.21691, "Analyzing the Mechanism
of Attention Collapse in VGGT from a Dynamics Perspective". Its ``d`` means both a dimension and a merge
factor; here the feature dimension is ``n`` and ``d = 1/(1 - m)`` is the merge factor only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from book.study import entries

ARXIV = "2512.21691"
FILE = Path(__file__).with_name("printed.yml")
KEYS = ("numbers", "table_1", "table_2", "figure_3_colours", "printed_data", "long_runs", "equations")


@dataclass(frozen=True)
class Printed:
    """One printed number: its ``digits`` in ``unit``, the ``words`` around it and where they stand.

    Raises:
        ValueError: ``digits`` is no number.
    """

    digits: str
    place: str
    words: str
    unit: str = ""

    def __post_init__(self) -> None:
        float(self.digits)

    @property
    def value(self) -> float:
        """The number, in ``unit``."""
        return float(self.digits)

    @property
    def half_width(self) -> float:
        """Largest rounding error the printed digits allow (same unit as ``value``)."""
        return 0.5 * 10.0 ** -_decimals(self.digits)

    def __str__(self) -> str:
        """The digits as printed, without the unit."""
        return self.digits


@dataclass(frozen=True)
class Equation:
    """A numbered equation as printed: its LaTeX source (the paper's own symbols) and its section."""

    number: int
    tex: str
    place: str
    about: str

    @property
    def id(self) -> str:
        """Identifier in the ledger, e.g. ``eq-4``."""
        return f"eq-{self.number}"


@dataclass(frozen=True)
class Table1Row:
    """One fusion strength of Table 1: normalised entropies and effective ranks."""

    m: float
    entropy_measured: float
    entropy_theory: float
    rank_measured: float
    rank_theory: float


@dataclass(frozen=True)
class Table2Row:
    """One fusion strength of Table 2: runtimes (relative to m = 0) and speedups."""

    m: float
    runtime: float
    speedup: float


def _decimals(digits: str) -> int:
    return len(digits.partition(".")[2])


def _numbers(content: Mapping[str, Any]) -> dict[str, tuple[Printed, ...]]:
    found = {}
    for name, entry in content.items():
        where = f"{entries.shown(FILE)}, number {name}"
        digits = entries.mapping(entry, where).get("digits")
        several = digits if isinstance(digits, list) else [digits]
        found[name] = tuple(entries.build(Printed, entry | {"digits": one}, where) for one in several)
    return found


def _table(content: Mapping[str, Any], name: str) -> dict[str, tuple[str, ...]]:
    """Digits by column; the file shows the table as text, a line for each row."""
    lines = [line.split() for line in content[name].splitlines()]
    if len({len(line) for line in lines}) != 1:
        raise entries.EntryError(f"{entries.shown(FILE)}, {name}: rows of different lengths")
    return {column: tuple(digits) for column, *digits in zip(*lines, strict=True)}


def _rows(row: Any, columns: Mapping[str, tuple[str, ...]]) -> tuple[Any, ...]:
    cells = zip(*columns.values(), strict=True)
    return tuple(row(**dict(zip(columns, map(float, line), strict=True))) for line in cells)


_CONTENT = entries.read(FILE, KEYS)
NUMBERS = _numbers(_CONTENT["numbers"])
_COLUMNS = {1: _table(_CONTENT, "table_1"), 2: _table(_CONTENT, "table_2")}
TABLE_1: tuple[Table1Row, ...] = _rows(Table1Row, _COLUMNS[1])
TABLE_2: tuple[Table2Row, ...] = _rows(Table2Row, _COLUMNS[2])
# Colours of Fig. 3 as its text and its caption give them.
FIGURE_3_COLOURS: dict[str, dict[str, str]] = _CONTENT["figure_3_colours"]
# What the paper prints as data: quantity -> the variables it is printed against.
PRINTED_DATA = {quantity: tuple(against) for quantity, against in _CONTENT["printed_data"].items()}
# Everything that is printed about the 1000-frame runs: quantity -> its number.
LONG_RUNS = {quantity: NUMBERS[name] for quantity, name in _CONTENT["long_runs"].items()}
EQUATIONS = tuple(
    entries.build(Equation, entry, f"{entries.shown(FILE)}, equation {place}", number=place)
    for place, entry in enumerate(_CONTENT["equations"], start=1)
)


def numbers(name: str) -> tuple[Printed, ...]:
    """The printed numbers of this name, in the order of the text; mostly one.

    Raises:
        ValueError: there is none; names those that are there.
    """
    if name not in NUMBERS:
        raise ValueError(f"{entries.shown(FILE)} has no number {name!r}; it has {', '.join(NUMBERS)}")
    return NUMBERS[name]


def number(name: str) -> Printed:
    """The one printed number of this name.

    Raises:
        ValueError: there is none, or there are several.
    """
    found = numbers(name)
    if len(found) > 1:
        raise ValueError(f"{name} are {len(found)} printed numbers; take one of numbers({name!r})")
    return found[0]


def value(name: str) -> float:
    """The value of the one printed number of this name, in its unit. Raises as `number`."""
    return number(name).value


def blanks() -> dict[str, str]:
    """Digits as printed, for the blanks of a claim: ``{{ frames }}``, ``{{ long_sequence_m[1] }}``."""
    several = {name: found for name, found in NUMBERS.items() if len(found) > 1}
    return {name: str(found[0]) for name, found in NUMBERS.items() if name not in several} | {
        f"{name}[{k}]": str(one) for name, found in several.items() for k, one in enumerate(found)
    }


def equation(number: int) -> Equation:
    """The printed equation with this number (1 to 15).

    Raises:
        ValueError: there is no such equation.
    """
    for entry in EQUATIONS:
        if entry.number == number:
            return entry
    raise ValueError(f"the paper has no equation ({number}); its equations are (1) to ({len(EQUATIONS)})")


def table_1(column: str) -> tuple[float, ...]:
    """One column of Table 1 as printed, in order of m: a field name of ``Table1Row``."""
    return tuple(getattr(row, column) for row in TABLE_1)


def table_2(column: str) -> tuple[float, ...]:
    """One column of Table 2 as printed, in order of m: a field name of ``Table2Row``."""
    return tuple(getattr(row, column) for row in TABLE_2)


def decimals(table: int, column: str) -> int:
    """How many decimals a column of Table 1 or 2 prints."""
    return max(map(_decimals, _COLUMNS[table][column]))

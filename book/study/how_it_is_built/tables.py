"""Sizes of rooms and functions as MyST tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from book.study.how_it_is_built.house import House, Size, last, lies_in
from lib.records import Record

LONGEST = 10


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A pipe table; columns whose last row begins with a figure are set to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    rule = ["---:" if cell[0].isdigit() else "---" for cell in cells[-1]]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *cells))


def sizes(house: House) -> str:
    """Every room with its lines; sums of the library, of the topics, and of what these share."""
    longest = {room: 0 for room in house.arrows}
    for function in house.functions():
        for room in longest:
            if lies_in(function.file, room):
                longest[room] = max(longest[room], function.lines)
    rows: list[Sequence[object]] = []
    for title, rooms in (
        ("**lib**", tuple(house.library)),
        ("**book/study, topics**", house.topics),
        ("**book/study, shared**", house.shared),
    ):
        found = {room: house.size(room) for room in rooms}
        whole = Size(*(sum(numbers) for numbers in zip(*map(_numbers, found.values()), strict=True)))
        rows.append([title, *(f"**{n:,}**" for n in (*_numbers(whole), max(longest[r] for r in rooms)))])
        rows += [
            [f"`{last(room)}`", *(f"{n:,}" for n in (*_numbers(size), longest[room]))]
            for room, size in found.items()
        ]
    return table(("room", "lines", "code", "YAML", "longest"), rows)


def _numbers(size: Size) -> tuple[int, int, int]:
    return size.lines, size.code, size.data


def edits(record: Record) -> str:
    """Pages and runs that a build repeats after typical edits, before and after keys by what is used."""
    columns = [record[f"{what}_{when}"] for what in ("pages", "runs") for when in ("before", "now")]
    head = ("edit", "pages, before", "pages, now", "runs, before", "runs, now")
    before = record.params["before"]
    note = (
        f"How many repeat. *Before* is commit `{before}`, where a page's key held the whole library and its "
        f"data; *now* is commit `{record['commit']}`, of whose pages {record['pages']} execute."
    )
    return f"{table(head, zip(record['edits'], *columns, strict=True))}\n\n{note}"


def functions(house: House) -> str:
    """The longest functions, with their lines."""
    rows = [(f.lines, f"`{f.name}` in `{f.file}`") for f in house.functions()[:LONGEST]]
    return table(("lines", "function"), rows)

"""Where rooms stand so that arrows can be followed: every importer above what it imports, few crossings.

Rooms stand on a grid, and the arrangement is the best of a few found by simulated annealing from fixed seeds:
the same house gives the same picture.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from itertools import combinations

from book.study.how_it_is_built.house import storeys

Cell = tuple[int, int]  # row from the top, column
COLUMNS, STEPS, SEEDS = 5, 6000, range(4)
# What an arrow over a room, and one over another arrow, cost in columns of length. An arrow behind a room
# cannot be told from one that ends there, so the first is worth many crossings.
THROUGH, CROSSING = 40.0, 3.0


def arrange(arrows: Mapping[str, frozenset[str]]) -> dict[str, Cell]:
    """A cell of the grid for each room; an arrow leads from each room to those that it imports.

    Raises:
        HouseError: rooms import each other in a circle.
    """
    links = [(room, other) for room in sorted(arrows) for other in sorted(arrows[room])]
    start = _start(arrows)
    return min((_annealed(start, links, seed) for seed in SEEDS), key=lambda cells: cost(cells, links))


def _annealed(start: Mapping[str, Cell], links: list[tuple[str, str]], seed: int) -> dict[str, Cell]:
    """The best arrangement met on the way while rooms change places, ever more choosily."""
    draws = random.Random(seed)
    cells = dict(start)
    rows = 1 + max(row for row, _ in cells.values())
    now = best = cost(cells, links)
    chosen = dict(cells)
    for step in range(STEPS):
        heat = 4.0 * (1 - step / STEPS) + 0.05
        tried = _moved(cells, draws.choice(sorted(cells)), (draws.randrange(rows), draws.randrange(COLUMNS)))
        if any(tried[above][0] >= tried[below][0] for above, below in links):
            continue
        then = cost(tried, links)
        if then <= now or draws.random() < math.exp((now - then) / heat):
            cells, now = tried, then
        if now < best:
            best, chosen = now, dict(cells)
    return _closed_up(chosen)


def _start(arrows: Mapping[str, frozenset[str]]) -> dict[str, Cell]:
    """A row or several for each storey, in alphabetical order."""
    level, cells, row = storeys(arrows), {}, 0
    for storey in sorted(set(level.values()), reverse=True):
        here = sorted(room for room in level if level[room] == storey)
        for place, room in enumerate(here):
            cells[room] = (row + place // COLUMNS, place % COLUMNS)
        row += 1 + (len(here) - 1) // COLUMNS
    return cells


def _moved(cells: Mapping[str, Cell], room: str, to: Cell) -> dict[str, Cell]:
    """The room moves; whoever stands there takes its cell."""
    return {r: to if r == room else cells[room] if cell == to else cell for r, cell in cells.items()}


def _closed_up(cells: Mapping[str, Cell]) -> dict[str, Cell]:
    """Without empty rows."""
    rows = sorted({row for row, _ in cells.values()})
    return {room: (rows.index(row), column) for room, (row, column) in cells.items()}


def cost(cells: Mapping[str, Cell], links: list[tuple[str, str]]) -> float:
    """Length of all arrows, and what passes over rooms or other arrows."""
    total = 0.0
    for above, below in links:
        (top, left), (bottom, right) = cells[above], cells[below]
        total += abs(left - right) + bottom - top
        total += THROUGH * sum(_over(cells[above], cells[below], cell) for cell in cells.values())
    for (a, b), (c, d) in combinations(links, 2):
        total += CROSSING * _cross(cells[a], cells[b], cells[c], cells[d])
    return total


def _over(above: Cell, below: Cell, cell: Cell) -> bool:
    """Whether an arrow passes over a room in a row between its ends."""
    if not above[0] < cell[0] < below[0]:
        return False
    return any(
        abs(
            above[1]
            + (below[1] - above[1]) * (cell[0] + half - above[0] - 0.3) / (below[0] - above[0] - 0.6)
            - cell[1]
        )
        < 0.45
        for half in (-0.3, 0.3)
    )


def _cross(a: Cell, b: Cell, c: Cell, d: Cell) -> bool:
    """Whether the arrows a → b and c → d cross between rows that both pass."""
    top, bottom = max(a[0], c[0]), min(b[0], d[0])
    if top >= bottom or a == c or b == d:
        return False
    apart = [
        (a[1] + (b[1] - a[1]) * (row - a[0]) / (b[0] - a[0]))
        - (c[1] + (d[1] - c[1]) * (row - c[0]) / (d[0] - c[0]))
        for row in (top, bottom)
    ]
    return apart[0] * apart[1] < 0

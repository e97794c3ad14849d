"""The page on the house: rooms, arrows and sizes of small houses made by hand; what must hold of this one."""

from __future__ import annotations

from pathlib import Path

import pytest

from book.study.how_it_is_built import tables, way
from book.study.how_it_is_built.arrange import COLUMNS, arrange, cost
from book.study.how_it_is_built.draw import BOX, GROUND, INK, picture, rooms
from book.study.how_it_is_built.house import Function, House, HouseError, Size, direct, room_of, storeys
from lib.records import Provenance, Quantity, Record

ROOT = Path(__file__).resolve().parents[2]
HOUSE = House(ROOT)
FILES = {
    "lib/__init__.py": "",
    "lib/low.py": '"""Text."""\n\nX = 1  # one\n',
    "lib/high/__init__.py": "from .inside import f\n",
    "lib/high/inside.py": "from lib.low import X\n\nclass A:\n  def f(self):\n    return X\n\ndef f(): ...\n",
    "book/study/__init__.py": "",
    "book/study/style.py": "import os\n",
    "book/study/topic/__init__.py": "",
    "book/study/topic/draw.py": "from book.study import style\nfrom lib import high\n",
    "book/study/topic/claims.yml": "a: 1\nb: 2\n",
    "book/topic.md": "# Topic\n",
}


@pytest.fixture
def small(tmp_path: Path) -> House:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return House(tmp_path)


def test_rooms_and_arrows_of_a_small_house(small: House) -> None:
    assert small.arrows == {
        "book.study.style": frozenset(),
        "book.study.topic": {"book.study.style", "lib.high"},
        "lib.high": {"lib.low"},
        "lib.low": frozenset(),
    }
    assert small.topics == ("book.study.topic",) and small.shared == ("book.study.style",)
    assert list(small.library) == ["lib.high", "lib.low"]


def test_sizes_count_lines_code_and_data(small: House) -> None:
    assert small.size("lib.low") == Size(lines=3, code=1, data=0)
    assert small.size("book.study.topic") == Size(lines=2, code=2, data=2)
    assert small.functions() == [
        Function("A.f", "lib/high/inside.py", 2),
        Function("f", "lib/high/inside.py", 1),
    ]
    assert "| --- | ---: |" in tables.sizes(small) and "| ---: | --- |" in tables.functions(small)
    assert "| **lib** | **11** | **7** | **0** | **2** |" in tables.sizes(small)
    assert "| 2 | `A.f` in `lib/high/inside.py` |" in tables.functions(small)


@pytest.mark.parametrize(
    ("module", "room"),
    [
        ("lib.vggt.layers", "lib.vggt"),
        ("lib.run", "lib.run"),
        ("lib", None),
        ("lib.__init__", None),
        ("book.study.style", "book.study.style"),
        ("book.study", None),
        ("torch.nn", None),
    ],
)
def test_a_module_lies_in_one_room(module: str, room: str | None) -> None:
    assert room_of(module) == room


ARROWS = {
    "a": frozenset({"b", "c", "d"}),
    "b": frozenset({"d"}),
    "c": frozenset({"d"}),
    "d": frozenset[str](),
    "alone": frozenset[str](),
}


def test_storeys_and_the_arrows_that_are_drawn() -> None:
    assert storeys(ARROWS) == {"a": 2, "b": 1, "c": 1, "d": 0, "alone": 0}
    assert direct(ARROWS)["a"] == {"b", "c"}
    with pytest.raises(HouseError, match=r"circle: a, b$"):
        storeys({"a": frozenset({"b"}), "b": frozenset({"a"}), "c": frozenset()})


def test_importers_stand_above_and_arrows_avoid_rooms() -> None:
    links = [(above, below) for above, others in ARROWS.items() for below in sorted(others)]
    cells = arrange(ARROWS)
    assert cells == arrange(ARROWS)
    assert len(set(cells.values())) == len(ARROWS) and max(column for _, column in cells.values()) < COLUMNS
    assert all(cells[above][0] < cells[below][0] for above, below in links)
    behind = {"a": (0, 0), "b": (1, 0), "d": (2, 0)}  # a -> d runs over b
    beside = {"a": (0, 0), "b": (1, 1), "d": (2, 0)}
    assert cost(behind, [("a", "d")]) > cost(beside, [("a", "d")])
    crossed = {"a": (0, 0), "b": (0, 1), "c": (1, 1), "d": (1, 0)}
    assert cost(crossed, [("a", "c"), ("b", "d")]) > 2 + cost(crossed, [("a", "d"), ("b", "c")]) + 2


@pytest.mark.slow
def test_the_library_knows_nothing_of_the_book_and_topics_nothing_of_each_other() -> None:
    storeys(HOUSE.arrows)  # no circle
    assert [room for room, others in HOUSE.library.items() if any(o.startswith("book") for o in others)] == []
    topics = set(HOUSE.topics)
    assert {topic: HOUSE.arrows[topic] & topics for topic in topics if HOUSE.arrows[topic] & topics} == {}
    assert {room for room in HOUSE.shared if HOUSE.arrows[room] & topics} == set()


@pytest.mark.slow
def test_the_picture_names_every_room_in_the_colours_of_the_page() -> None:
    drawn = picture(HOUSE)
    assert INK not in drawn and GROUND not in drawn and "currentColor" in drawn
    for room in HOUSE.library:
        assert f">{room.removeprefix('lib.')}</text>" in drawn


@pytest.mark.slow
def test_no_arrow_of_the_picture_runs_behind_a_room() -> None:
    """Worked out here with the boxes as they are drawn, not with what the arrangement counts."""
    arrows = direct(HOUSE.library)
    places = rooms(arrows)
    for above, others in arrows.items():
        for below in others:
            (x, y, _), (to_x, to_y, _) = places[above], places[below]
            start, end = y - BOX / 2, to_y + BOX / 2
            for room, (middle, height, width) in places.items():
                crossed = [
                    x + (to_x - x) * k / 100
                    for k in range(101)
                    if abs(start + (end - start) * k / 100 - height) < BOX / 2
                ]
                if room not in (above, below):
                    assert all(abs(at - middle) > width / 2 for at in crossed), (
                        f"{above} -> {below} behind {room}"
                    )


def test_the_way_of_the_number_can_be_followed_in_this_repository() -> None:
    run = Provenance(way.NOTEBOOK, way.asked(ROOT), {"lib/a.py": "0"}, {"data/w": "1"}, {})
    record = Record(run, {way.QUANTITY: Quantity(0.51249, "1")}, "cpu", "2026-01-01", 1.0)
    text = way.steps(ROOT, record)
    assert "see **0.512**" in text and "1 source files, 1 of weights" in text
    assert text.count("```") == 14 and f"`{way.CHAPTER}`, line " in text and ", cell " in text


def test_a_line_that_went_elsewhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("one\n  two\n", encoding="utf-8")
    assert way.line(tmp_path, "page.md", "tw") == ("line 2", "two")
    with pytest.raises(way.WayError, match=r"page\.md has no line with 'three'"):
        way.line(tmp_path, "page.md", "three")

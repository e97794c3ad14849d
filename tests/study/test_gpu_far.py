"""Errors of long sequences from a card's records: by room, paired, and judged as declared."""

from __future__ import annotations

import pytest

from book.study import hypothesis
from book.study.gpu import far
from lib import records


def record(frames: int, rooms: tuple[int, int], **errors: list[float | None]) -> records.Record:
    params = {"frames": frames, "rooms": list(rooms), "device": "cpu"}
    found = {f"{name.replace('_', ', ')}: {far.ERROR}": (v, "deg") for name, v in errors.items()}
    return records.begin("benchmarks.gpu.lengths", params).finish(found | {"cuda": ("13", "text")})


def test_rooms_of_several_records_are_joined_and_only_common_ones_are_compared():
    found = far.errors(
        [
            record(128, (10, 12), mini_plain=[1.0, 3.0]),
            record(2048, (10, 12), mini_plain=[4.0, None]),
            record(128, (12, 13), mini_plain=[2.0]),
            record(2048, (12, 13), mini_plain=[8.0]),
        ]
    )
    above, below = far.pair(found, "mini plain 2048 / mini plain 128")
    assert above.tolist() == [4.0, 8.0] and below.tolist() == [1.0, 2.0]
    assert far.ratios(found) == {"mini plain 2048 / mini plain 128": 4.0}
    assert far.pair(found, "mini plain 2048 / mini scaled 128") is None


def test_a_card_without_memory_leaves_the_predictions_open():
    refused = records.begin("benchmarks.gpu.lengths", {"frames": 8, "rooms": [0, 1], "device": "cpu"})
    table = far.outcomes(far.errors([refused.finish({"refused": ("no memory", "text")})]))
    assert set(table["outcome"]) == {"open"} and len(table) == len(hypothesis.read(far.DECLARED))


def test_every_declared_quantity_names_two_cases():
    for one in hypothesis.read(far.DECLARED):
        assert [far.Case.of(words).frames > 0 for words in one.quantity.split(" / ")] == [True, True]
    with pytest.raises(ValueError):
        far.Case.of("mini plain")

"""Half precision beside float32: both are run, what they say differs a little, each number has a unit."""

from __future__ import annotations

from typing import ClassVar

import pytest

from benchmarks import half
from book.study.runtime import draw


@pytest.mark.slow
def test_outputs_differ_a_little_and_every_number_has_a_unit() -> None:
    found = half.compared("random", frames=4, repeats=1)
    assert found.keys() == half.UNITS.keys()
    assert all(0 < found[output] < 0.05 for output in half.OUTPUTS)
    assert all(found[f"{dtype}_s"] > 0 for dtype in half.DTYPES)
    for error in half.JUDGED:
        exact, rounded = (found[f"{dtype}_{error}"] for dtype in half.DTYPES)
        assert exact != rounded and rounded == pytest.approx(exact, rel=0.2)


def test_the_table_says_which_is_faster() -> None:
    row = {"float32_s": 3.0, "bfloat16_s": 1.5, **dict.fromkeys(half.OUTPUTS, 1e-3)}
    assert "x2.00" in half.table({"wide": row})


class Kept(dict[str, float]):
    """A record of two networks."""

    params: ClassVar = {"models": ["mini", "wide"]}


def test_the_page_shows_ratios_and_the_output_that_moves_most() -> None:
    moved = {"pose_enc": 1e-4, "depth": 3e-3, "world_points": 1e-3}
    rows = {"mini": {"float32_s": 1.0, "bfloat16_s": 2.0}, "wide": {"float32_s": 6.0, "bfloat16_s": 2.0}}
    kept = Kept({f"{name}: {key}": v for name, row in rows.items() for key, v in (row | moved).items()})
    table = draw.half_table(kept)  # type: ignore[arg-type]
    assert list(table["times as fast"]) == [0.5, 3.0] and list(table["moved by"]) == [3e-3, 3e-3]

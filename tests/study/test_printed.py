"""The paper's printed numbers: consistent with each other where the paper says so, and all with a place."""

import itertools
import math

import pytest

from book.study.paper import printed as paper


def test_rank_column_is_the_entropy_column_to_the_base_of_the_number_of_frames():
    for kind in ("measured", "theory"):
        for entropy, rank in zip(
            paper.table_1(f"entropy_{kind}"), paper.table_1(f"rank_{kind}"), strict=True
        ):
            assert rank == pytest.approx(paper.value("frames") ** entropy, rel=5e-4)


def test_theory_columns_lie_on_straight_lines_in_m():
    for column in (paper.table_1("entropy_theory"), [math.log(r) for r in paper.table_1("rank_theory")]):
        steps = [b - a for a, b in itertools.pairwise(column)]
        assert max(steps) - min(steps) < 3e-4


def test_speedups_are_reciprocals_of_runtimes():
    for row in paper.TABLE_2:
        assert 1 / row.runtime == pytest.approx(row.speedup, abs=0.06)


def test_strengths_of_text_and_table_agree():
    assert tuple(p.value for p in paper.numbers("fusion_strengths")) == paper.table_1("m")
    assert paper.value("largest_m") == paper.TABLE_2[-1].m


def test_every_printed_number_has_a_place_and_words():
    printed = [number for found in paper.NUMBERS.values() for number in found]
    assert len(printed) > 25
    assert all(p.place and p.words for p in printed)


def test_digits_and_rounding():
    assert str(paper.number("runtime_at_largest_m")) == "0.12"
    assert str(paper.number("frames")) == "500"
    assert paper.number("excessive_m").half_width == pytest.approx(0.005)


def test_equations_are_numbered_without_gaps():
    assert [e.number for e in paper.EQUATIONS] == list(range(1, 16))
    assert paper.equation(4).id == "eq-4"
    for tex in (e.tex for e in paper.EQUATIONS):
        assert tex.count("{") == tex.count("}")
        assert tex.count(r"\left(") == tex.count(r"\right)")


def test_decimals_of_the_tables_are_those_of_their_digits():
    assert [paper.decimals(1, c) for c in ("m", "entropy_theory", "rank_measured")] == [1, 4, 2]
    assert [paper.decimals(2, c) for c in ("runtime", "speedup")] == [2, 1]


def test_blanks_of_claims_are_digits_as_printed():
    assert {
        "frames": "500",
        "excessive_m": "0.95",
        "long_sequence_m[1]": "0.9",
    }.items() <= paper.blanks().items()


def test_unknown_and_plural_numbers_are_errors():
    with pytest.raises(ValueError, match="no number 'frame'; it has steady_rank"):
        paper.number("frame")
    with pytest.raises(ValueError, match="5 printed numbers"):
        paper.number("fusion_strengths")


def test_unknown_equation_is_an_error():
    with pytest.raises(ValueError, match=r"\(16\)"):
        paper.equation(16)

"""What others printed: read strictly, and judged by signs that the law declares."""

import pytest

from book.study import entries
from book.study.others import table
from book.study.others.table import Expects, Hand, Series

WHOLE = """
sources:
  a: {name: A, link: https://example.org, hand: second}
errors:
  one:
    source: a
    what: merged
    error: ATE (m)
    frames: ["10", ""]
    plain: [".20", ".10"]
    changed: [".10", ".11"]
    expects: less
    because: so
"""


def series(**changes):
    return Series("a", "w", ("10",), ("2",), ("1",), **changes)


def test_the_book_reads_its_file_and_nothing_in_it_is_ours():
    others = table.load()
    assert {"fastvggt", "saf3r", "httm", "avggt", "regime", "hunt", "sparse"} <= set(others.sources)
    assert {s.hand for s in others.sources.values()} == set(Hand)
    for one in others.errors.values():
        assert one.because and one.error != "s"
    assert all(s.link.startswith("https://") for s in others.sources.values())


@pytest.mark.parametrize(
    ("expects", "outcome"),
    [(Expects.LESS, "as expected"), (Expects.MORE, "not"), (Expects.SILENT, "silent")],
)
def test_the_sign_decides(expects, outcome):
    assert series(expects=expects).ratios == [0.5]
    assert series(expects=expects).outcomes == [outcome]


def test_the_same_is_no_gain():
    assert Series("a", "w", ("10",), ("2",), ("2",), expects=Expects.LESS).outcomes == ["not"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('[".20", ".10"]', '[".20"]', "errors, one: frames, plain and changed differ"),
        ('[".20", ".10"]', '[".20", "x"]', "could not convert string to float: 'x'"),
        ("source: a", "source: b", "no source is called b"),
        ("expects: less", "expects: fewer", "'fewer' is none of less, more, silent"),
        ("hand: second", "hand: third", "'third' is none of first, abstract, second"),
        ("errors:", "findings: {}\n\nerror:", "unknown 'error'"),
    ],
)
def test_a_slip_is_one_error(tmp_path, old, new, message):
    path = tmp_path / "measured.yml"
    path.write_text(WHOLE)
    assert table.load(path).errors["one"].outcomes == ["as expected", "not"]
    path.write_text(WHOLE.replace(old, new, 1))
    with pytest.raises(entries.EntryError, match=message):
        table.load(path)


def test_a_source_without_a_number_is_refused(tmp_path):
    path = tmp_path / "measured.yml"
    path.write_text(WHOLE.partition("errors:")[0])
    with pytest.raises(entries.EntryError, match="nothing stands under the source a"):
        table.load(path)

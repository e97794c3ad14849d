"""The README's picture and the book's mark are what the code draws from the records of today."""

import pytest

from book.study.long_sequences import cover
from book.study.long_sequences.outcome import load_runs


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(cover.drawn()), ids=lambda path: path.name)
def test_committed_pictures_are_fresh(path) -> None:
    assert path.read_text(encoding="utf-8") == cover.drawn()[path], (
        "run: python -m book.study.long_sequences.cover"
    )


@pytest.mark.slow
def test_every_room_is_a_dot() -> None:
    runs = load_runs()
    ax = cover.answer(runs).axes[0]
    drawn = [line.get_xdata() for line in ax.lines if line.get_marker() == "o"]
    assert [len(row) for row in drawn] == [len(runs[run].errors(arm)) for _, run, arm, _ in cover.ROWS]
    assert drawn[-1].tolist() == runs["long"].errors("anchored").tolist()

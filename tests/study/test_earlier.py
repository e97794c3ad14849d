"""Measurements of earlier code: counted in one line, named when it is opened."""

from __future__ import annotations

import pytest

from book.study import earlier


@pytest.fixture
def shown(monkeypatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(earlier, "display", lambda html: found.append(html.data))
    return found


def test_current_measurements_need_no_word(shown):
    earlier.tell([None, None])
    earlier.tell([])
    assert shown == []


def test_the_others_are_counted_and_named_once_with_their_underscores(shown):
    earlier.tell(["changed: lib/a/__init__.py", None, "changed: lib/a/__init__.py", "changed: <b>"])
    (html,) = shown
    assert "<summary>3 of 4 measurements were made with earlier code</summary>" in html
    assert (
        html.count("<li>") == 2
        and html.count(" (2 of them)</li>") == 1
        and "lib/a/__init__.py" in html
        and "&lt;b&gt;" in html
    )
    earlier.tell(["changed"])
    assert "<summary>1 measurement was made with earlier code</summary>" in shown[1]

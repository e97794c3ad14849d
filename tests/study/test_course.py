"""The syllabus: complete, consistent with the table of contents, and written from data."""

import json
from pathlib import Path

import pytest
import yaml

from book.study.course import syllabus
from book.study.entries import EntryError
from book.study.glossary import terms
from lib.records import ROOT

BOOK = ROOT / "book"
NEEDS, COURSES = syllabus.read()
EXERCISES = syllabus.exercises_of(NEEDS, 3)


def test_each_page_with_exercises_says_what_it_needs_and_is_in_the_long_course() -> None:
    files = {path.stem for path in (ROOT / "book" / "study" / "exercises").glob("*.py")} - {
        "__init__",
        "model",
    }
    assert files == set(NEEDS)
    taught = [page for session in COURSES["ten"] for page in session.pages]
    assert sorted(taught) == sorted(NEEDS), "each page once"


def test_nothing_is_taken_for_granted_before_it_was_taught() -> None:
    """In the order of sessions; within a session the order of its pages."""
    taught: list[str] = []
    for session in COURSES["ten"]:
        for page in session.pages:
            late = [n for n in NEEDS[page] if n not in taught]
            assert set(late) <= {"models"}, (
                f"{page} needs {late}"
            )  # weights are used before their training is told
            taught.append(page)


def test_sessions_are_as_long_as_the_page_says() -> None:
    assert [s.minutes for s in COURSES["four"]] == [120] * 4
    assert [s.minutes for s in COURSES["ten"]] == [90] * 10


def test_what_exercises_need_is_in_the_glossary() -> None:
    known = {term.term for term in terms.terms()}
    assert {need for exercise in EXERCISES for need in exercise.needs} <= known


def test_a_session_lists_its_exercises_with_their_marks() -> None:
    box = syllabus.sessions("four").split("::::\n")[0]
    assert "{ref}`The largest m <vggt-ex-saturation>`\u00a0●●○" in box
    assert "vggt-ex-bias" not in box, "the highest level is left out of the short course"
    assert "(5 of 7 checked)" in box
    assert "vggt-ex-bias" in syllabus.sessions("ten")


def test_a_part_without_minutes_and_an_unknown_page_are_told(tmp_path: Path) -> None:
    raw = yaml.safe_load(syllabus.FILE.read_text(encoding="utf-8"))
    raw["needs"]["fusion"] = ["nowhere"]
    broken = tmp_path / "course.yml"
    broken.write_text(yaml.safe_dump(raw))
    with pytest.raises(EntryError, match="nowhere"):
        syllabus.read(broken)
    with pytest.raises(EntryError, match="begins with its minutes"):
        _ = syllabus.Session("Talk", "speak", (), 1, ("a talk",)).minutes


def test_times_of_the_laboratory_come_from_what_the_build_filed(tmp_path: Path) -> None:
    for page, seconds in (("mean_field", 90), ("architecture", 60)):
        folder = tmp_path / "_build" / "pages" / f"book-{page}" / "0a"
        folder.mkdir(parents=True)
        (folder / "seconds.json").write_text(json.dumps(seconds))
    table = syllabus.laboratory(tmp_path)
    assert "| 3 · The mean field | 1.5 min |" in table
    assert "| 1 · VGGT and merging | not measured in this build |" in table, "one of its two pages is missing"


def test_terms_are_plain_short_and_come_from_a_page() -> None:
    found = terms.terms()
    assert len(found) >= 50
    for term in found:
        assert (ROOT / "book" / f"{term.chapter}.md").is_file()
        assert all((ROOT / "book" / f"{page}.md").is_file() for page in term.only)
        assert term.says.endswith(".") and len(term.says) < 220 and not set("$`*_{}") & set(term.says), (
            term.term
        )


def test_one_spelling_means_one_term(tmp_path: Path) -> None:
    twice = [{"term": name, "says": "A.", "chapter": "fusion", "also": ["rank"]} for name in ("a", "b")]
    file = tmp_path / "terms.yml"
    file.write_text(yaml.safe_dump({"terms": twice}))
    with pytest.raises(EntryError, match="'rank' is a spelling of 'a' and of 'b'"):
        terms.terms(file)


CHAPTERS = [path for path in sorted(BOOK.glob("*.md")) if "\nAfter this " in path.read_text()]
NO_CHAPTERS = {"course", "how_it_is_built"}


@pytest.mark.parametrize("page", [p for p in CHAPTERS if p.stem not in NO_CHAPTERS], ids=lambda p: p.stem)
def test_a_chapter_begins_with_its_answer_then_says_what_one_can_do(page):
    text = page.read_text()
    answer, able = text.find("{admonition} The answer"), text.index("\nAfter this ")
    assert 0 < answer < able < text.index("\n## "), "the box, the goals, then the first section"

"""No page shows a result of code that has since changed: real builds of a small book, one change each."""

import fcntl
import importlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import small_book
from small_book import SmallBook

pytestmark = [pytest.mark.book, pytest.mark.slow]
STRICT = ("-W", "-n", "--keep-going")


def total(book: SmallBook) -> float:
    """The number that the chapter shows."""
    found = re.search(r"The runs add up to\s*(?:<[^>]+>)*([0-9.]+)", book.page("chapter"))
    assert found, "the chapter shows no number"
    return float(found.group(1))


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> SmallBook:
    """One book for the whole file: each case is a change to what the case before left."""
    return small_book.make(tmp_path_factory.mktemp("book"))


def unchanged(book: SmallBook) -> None:
    """Nothing."""


def prose(book: SmallBook) -> None:
    """A word of a page."""
    book.edit("book/chapter.md", "The runs add", "More prose.\n\nThe runs add")


def unrelated_code(book: SmallBook) -> None:
    """A module that one page imports, and no run."""
    book.edit("lib/unrelated.py", "3", "4")


def code(book: SmallBook) -> None:
    """The function that the runs measure."""
    book.edit("lib/size.py", "10 * m", "20 * m")


def code_reverted(book: SmallBook) -> None:
    """That edit taken back."""
    book.edit("lib/size.py", "20 * m", "10 * m")


def words(book: SmallBook) -> None:
    """What cannot change a number."""
    book.edit("lib/size.py", "    return", '    """Size."""\n    return')
    book.edit("lib/unrelated.py", "CONSTANT", "# a comment\nCONSTANT")


def drawing(book: SmallBook) -> None:
    """What the run draws after its record is saved: the cell, and the module that it imports."""
    book.edit("book/runs/one.ipynb", "drawing.draw(run)", "drawing.draw(run); drawing.draw(run)")
    book.edit("lib/drawing.py", "pass", "return None")


def data(book: SmallBook) -> None:
    """A file that the runs read."""
    book.write("data/offset.txt", "2.0\n")


def opens_a_file(book: SmallBook) -> None:
    """The introduction reads a file that nothing names but its cell."""
    book.write("notes/extra.txt", "1")
    book.edit("book/intro.md", 'glue("constant"', 'open("../notes/extra.txt").read()\nglue("constant"')


def edits_that_file(book: SmallBook) -> None:
    """Another content."""
    book.write("notes/extra.txt", "2")


def imports_by_name(book: SmallBook) -> None:
    """An import that no reader of the text finds."""
    book.write("lib/hidden.py", "X = 1\n")
    book.edit(
        "book/intro.md",
        'glue("constant"',
        '__import__("importlib").import_module("lib.hid" + "den")\nglue("constant"',
    )


def edits_that_module(book: SmallBook) -> None:
    """Another content."""
    book.write("lib/hidden.py", "X = 2\n")


def other_record(book: SmallBook) -> None:
    """One record is lost; the one that takes its place has another time in it."""
    book.records()[0].unlink()


# The chapter adds two runs: 10·0.1 + 10·0.5 plus twice the offset, 1.
CASES = [
    pytest.param(unchanged, (0, 2, 2, 2), 8.0, id="first build"),
    pytest.param(unchanged, (0, 0, 0, 0), 8.0, id="nothing changed"),
    pytest.param(prose, (0, 0, 1, 0), 8.0, id="prose"),
    pytest.param(unrelated_code, (0, 1, 1, 0), 8.0, id="code that one page imports"),
    pytest.param(words, (0, 0, 0, 0), 8.0, id="docstring and comment"),
    pytest.param(drawing, (0, 0, 0, 0), 8.0, id="drawing of the run"),
    pytest.param(code, (0, 1, 1, 2), 14.0, id="code of the runs"),
    pytest.param(code_reverted, (0, 0, 1, 0), 8.0, id="revert"),
    pytest.param(data, (0, 1, 1, 2), 10.0, id="data"),
    pytest.param(opens_a_file, (0, 1, 1, 0), 10.0, id="a page opens a file that is declared nowhere"),
    pytest.param(edits_that_file, (0, 1, 1, 0), 10.0, id="and the file changes"),
    pytest.param(imports_by_name, (0, 1, 1, 0), 10.0, id="a page imports a module by its name at run time"),
    pytest.param(edits_that_module, (0, 1, 1, 0), 10.0, id="and the module changes"),
    pytest.param(other_record, (0, 1, 1, 1), 10.0, id="a record is measured again"),
]


@pytest.mark.parametrize(("change", "counts", "shown"), CASES)
def test_a_build_repeats_what_changed_and_nothing_else(
    book: SmallBook, change: Callable[[SmallBook], None], counts: tuple[int, ...], shown: float
) -> None:
    """Counts are (exit status, pages executed, pages that Sphinx read, runs)."""
    change(book)
    build = book.build(*STRICT)
    assert build.counts == counts, build.output[-3000:]
    assert total(book) == shown


def test_pages_have_no_thebe_and_no_id_twice(book: SmallBook) -> None:
    """What the tools write wrong, and ``markup`` mends."""
    html = book.page("intro")
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert [name for name in ids if name.startswith("exercise-content")] == [
        "exercise-content-1",
        "exercise-content-2",
    ]
    assert len(ids) == len(set(ids))
    assert "THEBE_JS_URL" not in html


def assert_no_finished_book(book: SmallBook) -> None:
    """A failed build leaves nothing in the place of a finished one."""
    assert not (book.root / "_build" / "html").exists()


def test_a_failing_run_stops_the_build(book: SmallBook) -> None:
    book.edit("book/runs/one.ipynb", "offset = float", "assert m < 0.4, 'm is large'\\noffset = float")
    build = book.build(*STRICT)
    book.edit("book/runs/one.ipynb", "assert m < 0.4, 'm is large'\\noffset = float", "offset = float")
    assert build.status != 0
    assert "m is large" in build.output
    assert build.executed == 0, "no page may execute when its runs failed"
    assert_no_finished_book(book)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("from lib import drawing", "imported lib/drawing.py", id="drawing before the record"),
        pytest.param("__import__('lib.unre' + 'lated')", "imported lib/unrelated.py", id="import by name"),
        pytest.param(
            "open('notes/extra.txt').read()", "opened notes/extra.txt", id="data outside its inputs"
        ),
    ],
)
def test_a_run_that_uses_what_is_not_in_its_key_stops_the_build(
    book: SmallBook, line: str, message: str
) -> None:
    # only what the reader of the text cannot see: an import statement before the record would be in the key
    cell = json.loads((book.root / "book/runs/one.ipynb").read_text())
    source = cell["cells"][1]["source"]
    cell["cells"][1]["source"] = f"exec({line!r})\n{source}"
    before = (book.root / "book/runs/one.ipynb").read_text()
    book.write("book/runs/one.ipynb", json.dumps(cell))
    build = book.build()
    book.write("book/runs/one.ipynb", before)
    assert build.status != 0
    assert "used what its key does not cover" in build.output
    assert message in build.output
    assert_no_finished_book(book)


def test_a_page_that_reads_what_the_build_writes_fails_the_build(book: SmallBook) -> None:
    book.write("_build/stray.txt", "1")
    intro = (book.root / "book/intro.md").read_text()
    book.edit("book/intro.md", 'glue("constant"', 'open("../_build/stray.txt").read()\nglue("constant"')
    build = book.build()
    book.write("book/intro.md", intro)
    assert build.status != 0
    assert "book/intro: it reads what a build writes" in build.output
    assert "_build/stray.txt" in build.output
    assert_no_finished_book(book)


def test_a_run_without_a_record_stops_the_build(book: SmallBook) -> None:
    book.edit("book/runs/one.ipynb", "records.save(", "print(")
    build = book.build()
    book.edit("book/runs/one.ipynb", "print(", "records.save(")
    assert build.status != 0
    assert "ended without its record" in build.output
    assert_no_finished_book(book)


def test_a_declared_parameter_that_the_notebook_does_not_take_stops_the_build(book: SmallBook) -> None:
    book.edit("book/runs/grid.yml", "seed:", "sede:")
    build = book.build()
    book.edit("book/runs/grid.yml", "sede:", "seed:")
    assert build.status != 0
    assert "takes no parameter 'sede'" in build.output
    assert "did you mean 'seed'?" in build.output
    assert_no_finished_book(book)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param("total = sum(", "total = 1 / 0 * sum(", "ZeroDivisionError", id="cell raises"),
        pytest.param("(0.1, 0.5)", "(0.1, 0.7)", "StaleResultError", id="run was never declared"),
    ],
)
def test_a_failing_page_fails_the_build(book: SmallBook, old: str, new: str, message: str) -> None:
    """Without ``-W``: the extension is as strict by itself."""
    book.edit("book/chapter.md", old, new)
    build = book.build()
    book.edit("book/chapter.md", new, old)
    assert build.status != 0
    assert message in build.output
    assert_no_finished_book(book)


BAD = """
{doc}`nowhere` {ref}`no-label` {eq}`no-equation` {cite}`no-source` [anchor](#no-anchor) {glue:text}`no-key`
"""
REPORTED = ["nowhere", "no-label", "no-equation", "no-source", "no-anchor", "no-key"]


def test_bad_references_and_stderr_fail_the_build_and_are_all_reported(book: SmallBook) -> None:
    """Without flags again; the pages are kept apart under another name, for whoever mends them."""
    intro = (book.root / "book/intro.md").read_text()
    book.edit("book/intro.md", "glue(", "import sys; print('a complaint', file=sys.stderr)\nglue(")
    book.edit("book/intro.md", "The constant", f"{BAD}\nThe constant")
    build = book.build()
    book.write("book/intro.md", intro)
    warnings = [line for line in build.output.splitlines() if "WARNING" in line or "ERROR" in line]
    assert build.status != 0
    assert [name for name in REPORTED if not any(name in line for line in warnings)] == []
    assert any("stderr" in line for line in warnings)
    assert_no_finished_book(book)
    assert (book.root / "_build" / "failed-html" / "book" / "intro.html").is_file()


def test_failures_leave_nothing_behind(book: SmallBook) -> None:
    """With everything mended the results of before are found again: nothing executes, nothing runs."""
    build = book.build()
    assert (build.status, build.executed, build.swept) == (0, 0, 0), build.output[-3000:]
    assert total(book) == 10.0
    assert not (book.root / "_build" / "failed-html").exists()


def test_a_second_build_in_the_same_folder_is_refused_and_harms_no_page(book: SmallBook) -> None:
    """Two at once would delete each other's pages."""
    before = book.page("chapter")
    with (book.root / "_build" / "building").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        build = book.build(*STRICT)
    assert build.status != 0 and "another build is at work" in build.output
    assert book.page("chapter") == before
    assert book.build(*STRICT).status == 0


def test_code_edited_during_a_build_fails_it(book: SmallBook) -> None:
    """Otherwise results of the new code would be cached under the key of the old."""
    chapter = (book.root / "book/chapter.md").read_text()
    book.edit(
        "book/chapter.md", "total = sum(", "open('../lib/unrelated.py', 'a').write('# x')\ntotal = sum("
    )
    build = book.build()
    book.write("book/chapter.md", chapter)
    book.edit("lib/unrelated.py", "# x", "")
    assert build.status != 0
    assert "edited while the book was being built, build it again: lib/unrelated.py" in build.output
    assert_no_finished_book(book)


def test_papermill_itself_refuses_an_unknown_parameter(book: SmallBook, tmp_path: Path) -> None:
    """`records.parameters` in the notebook makes papermill's log line an error."""
    out = str(tmp_path / "out.ipynb")
    done = book.call(
        str(Path(sys.executable).parent / "papermill"),
        "book/runs/one.ipynb",
        out,
        "-p",
        "M",
        "0.3",
        "--no-progress-bar",
    )
    assert done.returncode != 0
    assert "takes no parameter 'M'" in done.stderr
    done = book.call(
        str(Path(sys.executable).parent / "papermill"),
        "book/runs/one.ipynb",
        out,
        "-p",
        "m",
        "0.3",
        "--no-progress-bar",
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("inside", "advice"), [(".", r"jupyter-book build \."), ("lib", "without another lib")]
)
def test_a_page_alone_is_told_how_pages_are_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str, advice: str
) -> None:
    (tmp_path / inside).mkdir(exist_ok=True)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "book" / "_ext"))
    monkeypatch.setenv("PYTHONPATH", "")
    guard = importlib.import_module("guard")
    with pytest.raises(guard.ExtensionError, match=advice):
        guard.use_the_books_lib(tmp_path)

"""A book built with another profile: own pages and records, what differs is said, and gaps have reasons."""

import re
import sys
import types
from pathlib import Path
from typing import ClassVar

import nbformat
import pytest
import small_book
from docutils import nodes
from docutils.utils import new_document
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from small_book import SmallBook

from book.study.profile import NotMeasured

sys.path.insert(0, str(small_book.REPOSITORY / "book" / "_ext"))
import after_gap
import captions
import gaps
import pages
import profiled

OTHER = """
title: Another
scenes_are: no scenes
networks: {tested: mini}
trained: {}
walks: {}
strengths: {0.5: 0.4}
device: cpu
dtype: float32
"""
SAYS = """glue("total", total, display=False)
profile.says(total > 7.5, "the runs add up to more than seven and a half")
"""


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallBook:
    """A small book whose chapter asks for its records through the profile, and another profile."""
    made = small_book.make(tmp_path)
    made.edit("book/chapter.md", "from lib import records", "from book.study import profile")
    made.edit("book/chapter.md", "records.load", "profile.load")
    made.edit("book/chapter.md", 'glue("total", total, display=False)\n', SAYS)
    made.write("book/profiles/other.yml", OTHER)
    monkeypatch.setenv("BOOK_PROFILE", "other")
    return made


def text_of(book: SmallBook, page: str) -> str:
    """What a page of the other profile says, without markup."""
    path = book.root / "_build" / "other" / "html" / "book" / f"{page}.html"
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", path.read_text(encoding="utf-8")))


@pytest.mark.book
@pytest.mark.slow
def test_another_profile_has_its_own_pages_and_records_and_says_what_differs(book: SmallBook) -> None:
    assert book.build().counts == (0, 2, 2, 2)
    said = text_of(book, "chapter")
    assert re.search(r"add up to 7\.000", said)
    assert "Profile: Another" in said and "tested: mini" in said
    assert "here it does not hold: the runs add up to more than seven and a half" in said
    assert "Nothing on this page depends on the profile" in text_of(book, "intro")
    assert not book.records() and not (book.root / "_build" / "html").exists()
    assert len(list((book.root / "records-of" / "other").glob("*.json"))) == 2
    assert book.build().counts == (0, 0, 0, 0)


@pytest.mark.book
@pytest.mark.slow
def test_a_run_that_a_profile_cannot_do_leaves_a_gap_with_its_reason(book: SmallBook) -> None:
    book.write(
        "book/profiles/other.yml",
        OTHER + "without: {one: there is nothing to measure here}\nleave: {intro: too long}\n",
    )
    book.edit(
        "book/chapter.md", "total = sum", "total = 1.0\nglue('early', total, display=False)\ntotal = sum"
    )
    later = "```{code-cell} ipython3\nprint(f'later {total}')\n```\n\nIt began with {glue:text}`early`.\n\n"
    book.edit("book/chapter.md", "The runs add", f"{later}The runs add")
    book.edit("book/chapter.md", "total:.3f", "total")
    built = book.build()
    assert (built.status, built.swept) == (0, 0)
    assert "plan: 0 runs" in built.output
    said = text_of(book, "chapter")
    assert "later 1.0" not in said and "Not measured in this profile: it needs what is missing above" in said
    assert said.count("Not measured here. Of the shipped book it says: The runs add up to") == 1
    assert "It began with 1.0" in said
    assert "Not measured here; what rests on it is missing: there is nothing to measure here" in said
    assert "Not measured in this profile: there is nothing to measure here" in said
    assert "Traceback" not in said and "The runs add up to" in said
    assert "Not executed in this profile: too long" in text_of(book, "intro")


@pytest.mark.book
@pytest.mark.slow
def test_a_page_about_what_ships_is_that_of_the_shipped_book(
    book: SmallBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.edit("book/chapter.md", "kernelspec:", "profile: shipped\nkernelspec:")
    monkeypatch.setenv("BOOK_PROFILE", "default")
    assert book.build().status == 0
    monkeypatch.setenv("BOOK_PROFILE", "other")
    assert book.build().status == 0
    said = text_of(book, "chapter")
    assert "This page is that of the shipped book" in said and "tested: mini" not in said
    shipped = (book.root / "_build" / "html" / "book" / "chapter.html").read_text(encoding="utf-8")
    (total,) = set(re.findall(r"add up to .*?([0-9]+\.[0-9]+)", re.sub(r"<[^>]+>", "", shipped)))
    assert f"add up to {total}" in said and not re.search(r"add up to 7\.000", said)


class Scenes(types.SimpleNamespace):
    """A profile of four pieces of a recording, if its folder is named."""

    named = True
    words: ClassVar = {
        "Mini VGGT": "VGGT-1B",
        "test room 0": "the recording",
        "test rooms": "pieces",
        "CPU": "GPU",
    }
    lengths: ClassVar = {32: 24}
    strengths: ClassVar = {0.1: 0.5}
    seeds: ClassVar = {35: 34}
    walks: ClassVar = {"rooms": ("a#{count}", "a"), "longer": ("b", "b"), "denser": ("a#{count}", "a")}

    def scene(self, walk: str) -> str:
        """The pieces of at most four walks."""
        if not self.named:
            raise NotMeasured("no folder")
        first, last = map(int, walk.partition(":")[2].split("-"))
        return f"kitchen#{min(4, last - first + 1)}"


def test_captions_name_what_was_measured_and_other_text_stays() -> None:
    tree = new_document("page")
    caption = nodes.caption("", "Mini VGGT, test rooms 0–7, CPU.")
    tree += [nodes.figure("", caption), nodes.paragraph("", "The mini VGGT on a CPU.")]
    profiled.renamed(tree, Scenes())
    assert caption.astext() == "VGGT-1B, 4 pieces, GPU."
    assert tree[1].astext() == "The mini VGGT on a CPU."


def test_a_figure_of_what_ships_keeps_its_caption() -> None:
    tree = new_document("page")
    caption = nodes.caption("", "Mini VGGT, test rooms 0–7, CPU.")
    tree += nodes.figure("", caption, classes=["shipped"])
    profiled.renamed(tree, Scenes())
    assert caption.astext() == "Mini VGGT, test rooms 0–7, CPU."


def test_a_caption_whose_line_ends_between_a_number_and_its_unit_counts_too() -> None:
    tree = new_document("page")
    caption = nodes.caption("", "", nodes.Text("medians over 8"), nodes.Text("\n"), nodes.Text("rooms"))
    tree += nodes.figure("", caption)
    profiled.renamed(tree, Scenes())
    assert caption.astext() == "medians over 4 rooms"


@pytest.mark.parametrize(
    ("shipped", "said"),
    [
        ("rooms denser:0–5, eight frames, seed 33", "4 pieces, eight frames, seed 33"),
        ("dots are rooms (denser:0–7)", "dots are rooms (4 pieces)"),
        ("rooms longer:4–5", "2 pieces"),
        ("One path. Test rooms 0–7, seed 33", "One path. 4 pieces, seed 33"),
        ("Medians over 8\ntest rooms (0–7)", "Medians over 4 pieces"),
        ("medians over six scenes", "medians over 4 scenes"),
        ("two rooms and three scenes", "two rooms and 3 scenes"),
        ("all 32 frames, seeds 33–35", "all 24 frames, seeds 33–34"),
        ("8 frames of test room 0", "8 frames of the recording"),
        ("in 32 and in 64 frames, 32 to 96 frames", "in 24 and in 64 frames, 24 to 96 frames"),
        ("32 and 64 heads", "32 and 64 heads"),
        ("test rooms from 74 on", "pieces"),
        ("Rooms from 50 on", "Rooms"),
        ("Bias: rooms 50 and after", "Bias: rooms"),
        ("test rooms 50–73 and 74–97", "4 pieces"),
    ],
)
def test_a_caption_counts_what_is_here(shipped: str, said: str) -> None:
    assert captions.here(shipped, Scenes()) == said


def test_a_profile_without_its_folder_keeps_the_numbers() -> None:
    assert captions.here("rooms denser:0–5", Scenes(named=False)) == "6 pieces"


def test_numbers_of_the_text_that_are_others_here_are_listed() -> None:
    assert profiled.other_numbers(Scenes()) == ["frames: 32 → 24", "m: 0.1 → 0.5", "seeds: 35 → 34"]


def test_walks_that_are_the_same_here_are_named() -> None:
    assert profiled.same_walks(Scenes()).startswith("The same scenes stand here for rooms and denser:")
    assert not profiled.same_walks(types.SimpleNamespace(walks={"rooms": ("a", "a"), "longer": ("b", "b")}))


def paragraph(*shown: str) -> nodes.paragraph:
    """Text with results in it."""
    return nodes.paragraph("", "It is ", *(nodes.inline("", text, classes=["pasted-text"]) for text in shown))


def test_a_table_without_any_number_is_folded() -> None:
    tree, section = new_document("page"), nodes.section()
    tree += section
    section += [
        nodes.table("", nodes.entry("", paragraph(gaps.ABSENT))),
        nodes.table("", nodes.entry("", paragraph("3"))),
    ]
    profiled.fold(tree)
    assert [type(node).__name__ for node in section] == ["raw", "table", "raw", "table"]


def test_paragraphs_without_any_number_are_folded_those_in_a_row_together() -> None:
    tree, section = new_document("page"), nodes.section()
    tree += section
    absent, listed = gaps.ABSENT, nodes.bullet_list("", nodes.list_item("", paragraph(gaps.ABSENT)))
    section += [nodes.title("", "A title"), paragraph(absent, absent), listed, paragraph("3")]
    section += [nodes.paragraph("", "No number."), paragraph("2")]
    profiled.fold(tree)
    kinds = [type(node).__name__ for node in section]
    folded = ["title", "raw", "paragraph", "bullet_list", "raw"]
    assert kinds == [*folded, "paragraph", "paragraph", "paragraph"]
    assert all(node.parent is section for node in section)
    assert "Not measured here." in section[1].astext()


def test_what_was_measured_in_part_is_folded_and_a_list_bullet_by_bullet() -> None:
    tree, section = new_document("page"), nodes.section()
    tree += section
    bullets = [nodes.list_item("", paragraph(text)) for text in ("1", gaps.ABSENT, "2")]
    section += [
        paragraph("3", gaps.ABSENT),
        nodes.paragraph("", "No number."),
        nodes.bullet_list("", *bullets),
    ]
    profiled.fold(tree)
    kinds = [type(node).__name__ for node in section]
    assert kinds == ["raw", "paragraph", "raw", "paragraph", "bullet_list", "raw", "bullet_list", "raw"]
    assert "Not all of this was measured here." in section[0].astext()
    assert [len(section[k].children) for k in (4, 6)] == [2, 1]


def test_a_quote_of_which_a_number_is_absent_is_folded() -> None:
    tree, quote = new_document("page"), nodes.block_quote("", paragraph("3", gaps.ABSENT))
    tree += nodes.section("", quote)
    profiled.fold(tree)
    assert [type(node).__name__ for node in quote] == ["raw", "paragraph", "raw"]


def test_what_is_absent_within_brackets_has_none_of_its_own() -> None:
    tree = new_document("page")
    shown = [nodes.inline("", gaps.ABSENT, classes=["pasted-text"]) for _ in range(2)]
    tree += nodes.paragraph(
        "", "", nodes.Text("It is "), shown[0], nodes.Text(" (N7, "), shown[1], nodes.Text(").")
    )
    profiled.unbracket(tree)
    assert tree.astext() == "It is (not measured) (N7, not measured)."


def test_text_with_results_and_what_cells_print_call_things_what_they_are_here() -> None:
    tree, profile = new_document("page"), Scenes()
    table = nodes.raw("", "<td class='rooms'>test rooms, 32 frames</td>", format="html")
    script = nodes.raw("", "<b>test rooms</b><script>1</script>", format="html")
    gap = nodes.raw("", f"<div {profiled.GAP}>test rooms</div>", format="html")
    check = nodes.raw("", "<p>✓ error of test rooms, 32 frames: 0.3 (&lt; 1)</p>", format="html")
    output = nodes.container("", nodes.paragraph("", "Of test rooms, CPU"), nb_element=profiled.PRINTED)
    result = nodes.inline("", "5 of 6 test rooms at 32 frames", classes=["pasted-text"])
    prose = nodes.paragraph("", "In 8 test rooms of 32 frames: ", result)
    tree += [table, script, gap, check, output, prose, nodes.paragraph("", "No result: test rooms.")]
    profiled.spoken(tree, profile)
    assert [node.astext() for node in tree] == [
        "<td class='rooms'>pieces, 32 frames</td>",
        *(node.astext() for node in (script, gap)),
        "<p>✓ error of pieces, 24 frames: 0.3 (&lt; 1)</p>",
        "Of pieces, GPU",
        "In 4 pieces of 24 frames: 5 of 6 pieces at 32 frames",
        "No result: test rooms.",
    ]
    assert "test rooms" in script.astext() and "test rooms" in gap.astext()
    ships = new_document("page")
    ships += [nodes.figure("", classes=[profiled.SHIPPED]), paragraph("8 test rooms")]
    profiled.spoken(ships, profile)
    assert "8 test rooms" in ships.astext()


def test_the_caption_of_a_figure_that_is_not_there_is_that_of_the_shipped_book() -> None:
    tree = new_document("page")
    caption = nodes.caption("", "Mini VGGT, test rooms 0–7, CPU.")
    tree += nodes.figure("", nodes.raw("", f"<div {profiled.GAP}>No.</div>", format="html"), caption)
    profiled.without_figure(tree)
    profiled.renamed(tree, Scenes())
    assert caption.astext() == "In the shipped book: Mini VGGT, test rooms 0–7, CPU."


def test_a_page_that_follows_no_profile_names_its_gaps() -> None:
    app = types.SimpleNamespace(book_profile=Scenes())

    def said(*reasons: str) -> str:
        about = {"follows": False, "gaps": list(reasons), "said": []}
        page = types.SimpleNamespace(left="", as_shipped=False, about=about)
        return " ".join(node.astext() for node in profiled.about(app, page))

    assert said() == "Nothing on this page depends on the profile."
    assert re.fullmatch(
        r"Not measured here.*no family\s+Nothing else on this page.*", said("no family"), re.DOTALL
    )


def test_a_list_names_nothing_twice() -> None:
    (_, listed) = profiled.line("It holds here:", ["below one", "above two", "below one"])
    assert [item.astext() for item in listed] == ["below one", "above two"]


def test_words_are_whole_ones() -> None:
    assert captions.in_words("test rooms, CPUs, CPU", Scenes()) == "pieces, CPUs, GPU"


@pytest.mark.parametrize(
    ("cell", "line", "names"),
    [
        ("a = 1\nb = a", 2, {"b"}),
        ("a = 1\nb = (\n    a\n)", 3, {"b"}),
        ("a.x[0].y, c = f()\nfor d in a:\n    e[d] = 1", 1, {"a", "c", "d", "e"}),
        ("import a\ndef b():\n    c = 1\nd.append(1)\nprint(e)", 1, {"b", "d"}),
        ("a = 1", 2, set()),
        ("%matplotlib inline\na = 1", 1, set()),
    ],
)
def test_what_a_cell_that_failed_would_have_set_or_filled(cell: str, line: int, names: set[str]) -> None:
    assert after_gap.unset(cell, line) == names


def test_what_forgets_leaves_no_trace_that_a_run_on_a_page_would_have_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[bool] = []
    monkeypatch.setitem(sys.modules, "after_gap", after_gap)
    monkeypatch.setattr(after_gap, "watch", lambda: called.append(True))
    names: dict[str, object] = {}
    exec(pages.FORGET, names)
    assert called and set(names) == {"__builtins__"} and "after_gap" not in sys.modules


def failing(name: str, value: str) -> nbformat.NotebookNode:
    """A cell that ended in an error."""
    return new_code_cell("x", outputs=[new_output("error", ename=name, evalue=value, traceback=[])])


def test_what_follows_a_gap_is_explained_and_what_has_no_reason_is_told() -> None:
    warned = new_code_cell("y", outputs=[new_output("stream", name="stderr", text="careful")])
    cells = [failing("NameError", "z"), failing("NotMeasured", "no depth"), failing("NameError", "x"), warned]
    notebook = new_notebook(cells=[new_markdown_cell("It is {glue:text}`answer`."), *cells])
    assert gaps.leave(notebook) == (["cell 1: NameError: z"], ["no depth"])
    texts = [cell.outputs[0].data["text/plain"] for cell in notebook.cells[1:4]]
    assert [text.partition(": ")[2] for text in texts] == [
        *("NameError: z", "no depth", "it needs what is missing above"),
    ]
    (placeholder,) = notebook.cells[4].outputs
    assert placeholder.metadata["scrapbook"]["name"] == "answer"


def test_a_figure_that_was_open_when_its_cell_failed_is_not_shown() -> None:
    cell = failing("NotMeasured", "no depth")
    cell.outputs += [
        new_output("display_data", {"text/html": "a table"}),
        new_output("display_data", {"image/svg+xml": "<svg/>", "text/plain": "<Figure>"}),
    ]
    assert gaps.leave(new_notebook(cells=[cell])) == ([], ["no depth"])
    assert [next(iter(out.data)) for out in cell.outputs] == ["text/html", "text/html"]
    assert "no depth" in cell.outputs[1].data["text/html"]


def test_an_interval_without_ends_is_called_none() -> None:
    shown = {"text/html": "<td>+9 % (−inf % … +inf %)</td> (1 … 2)", "image/svg+xml": "(-inf … inf)"}
    cell = new_code_cell("x", outputs=[new_output("display_data", dict(shown))])
    gaps.leave(new_notebook(cells=[cell]))
    assert cell.outputs[0].data["text/html"] == "<td>+9 % (no interval: too few)</td> (1 … 2)"
    assert cell.outputs[0].data["image/svg+xml"] == shown["image/svg+xml"]


def test_a_page_that_is_not_executed_keeps_the_places_of_its_figures() -> None:
    cells = [new_code_cell("a"), new_code_cell("b"), new_code_cell("c")]
    cells[2].metadata["mystnb"] = {"figure": {"name": "fig-c"}}
    notebook = new_notebook(cells=cells)
    gaps.untried(notebook, "too long")
    assert [len(cell.outputs) for cell in notebook.cells] == [0, 0, 1]
    assert notebook.cells[2].outputs[0].data["text/plain"] == "Not drawn in this profile: too long"

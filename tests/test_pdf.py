"""The printed edition: HTML as docutils nodes, and every figure and equation in the PDF."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docutils import nodes
from small_book import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "book" / "_ext"))

import from_html

TOOLS = ("latexmk", "xelatex", "rsvg-convert", "pdftotext")
ABSENT = [tool for tool in TOOLS if shutil.which(tool) is None]
needs_latex = pytest.mark.skipif(bool(ABSENT), reason=f"no PDF was made: {', '.join(ABSENT)} not on the path")
LABEL = re.compile(r"\\newlabel\{(equation:)?(book/[^}]*|page:[^}]*)\}\{\{([\d.]+)\}")
CONF = """
import sys
sys.path.insert(0, {ext!r})
project = "small"
extensions = ["myst_parser", "sphinx_jupyterbook_latex", "printed"]
myst_enable_extensions = ["amsmath", "dollarmath"]
jblatex_load_imgconverter = False
numfig = math_numfig = True
"""
INDEX = "# Small\n\n```{toctree}\n:caption: Part\npage\n```\n"
PAGE = r"""# Page β

`⟨ᵀ⟩ ℓ` *✗* ½ ² − … → β δ ✓ ✗ × ≤ ≈ ⟨⟩ ₀ ⁻¹ ★☆, see {eq}`one` and {numref}`drawn`.

```{index} single: token
```

```{math}
:label: one
\dot x = \tfrac12\langle x, y\rangle
```

```{figure} drawn.svg
:name: drawn
A drawn figure.
```

```{raw} html
<style>hidden</style><table><thead><tr><th>a</th><th colspan="2">b \(x^2\)</th></tr></thead>
<tbody><tr><td>1</td><td>½</td><td>(0.1 … 0.3)</td></tr></tbody></table>
```

```{raw} html
<div class="living"><noscript><table><tr><td>kept</td></tr></table><p>With scripts on.</p></noscript></div>
```
"""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="99pt" height="50pt"><text y="9">inside</text></svg>'


def shown(html: str) -> list[nodes.Node]:
    """Nodes of HTML whose pictures are comments."""
    return from_html.convert(html, lambda svg: nodes.comment("", svg))


def test_a_table_keeps_its_head_its_spans_and_its_formulas() -> None:
    (table,) = shown(
        '<style>x</style><table><thead><tr><th></th><th colspan="2">both</th></tr></thead>'
        r'<tbody><tr><th rowspan="2">m</th><td>1</td><td>\(x^2\) of</td></tr>'
        "<tr><td>2</td><td>3</td></tr></tbody>"
        "</table>"
    )
    group = table.children[0]
    assert group["cols"] == 3 and len(list(group.findall(nodes.colspec))) == 3
    head, *rows = group.findall(nodes.row)
    assert isinstance(head.parent, nodes.thead) and head.children[1]["morecols"] == 1
    assert rows[0].children[0]["morerows"] == 1
    assert [[cell.astext() for cell in row.children] for row in rows] == [["m", "1", "x^2 of"], ["2", "3"]]
    assert next(table.findall(nodes.math)).astext() == "x^2"


@pytest.mark.parametrize(
    ("names", "columns", "shown_as"),
    [
        (["m", ""], ["", "error"], [["m", "error"]]),
        (["m", "&nbsp;"], ["&nbsp;", "error"], [["m", "error"]]),
        (["m", ""], ["all", "error"], [["all", "error"], ["m", ""]]),
    ],
)
def test_the_name_of_an_index_stands_in_the_row_of_the_columns(names, columns, shown_as) -> None:
    heads = "".join(f"<tr>{''.join(f'<th>{name}</th>' for name in row)}</tr>" for row in (columns, names))
    (table,) = shown(f"<table><thead>{heads}</thead><tbody><tr><td>1</td><td>2</td></tr></tbody></table>")
    head = next(table.findall(nodes.thead))
    assert [[cell.astext() for cell in row.children] for row in head.children] == shown_as


def test_text_between_blocks_becomes_paragraphs_and_scripts_vanish() -> None:
    made = shown("<div>first <b>bold</b><p>second</p><script>bad()</script><svg></svg><!-- no --></div>")
    assert [type(node) for node in made] == [nodes.paragraph, nodes.paragraph, nodes.comment]
    assert [node.astext() for node in made[:2]] == ["first bold", "second"]
    assert next(made[0].findall(nodes.strong)).astext() == "bold"


def test_a_picture_keeps_its_capitals() -> None:
    drawn = '<svg viewBox="0 0 9 9"><clipPath/></svg>'
    assert [node.astext() for node in shown(f"<table><tr><td><svg/></svg></td></tr></table>{drawn}")][
        -1
    ] == drawn


def test_a_column_has_room_for_its_longest_cell_within_bounds() -> None:
    (table,) = shown(f"<table><tr><td>1</td><td>{'x' * 12}</td><td>{'y' * 99}</td></tr></table>")
    assert [spec["colwidth"] for spec in table.findall(nodes.colspec)] == [6, 12, 40]


def test_lists_and_links_stay() -> None:
    (listed,) = shown('<ul><li>one</li><li><a href="https://example.org">two</a></li></ul>')
    assert [item.astext() for item in listed.children] == ["one", "two"]
    assert next(listed.findall(nodes.reference))["refuri"] == "https://example.org"


def faults(log: str) -> list[str]:
    """What a log of xelatex says of lost references, lost characters and errors."""
    said = log.replace("\n", " ")
    lost = re.findall(r"(?:Reference|Citation|Hyper reference) `[^']*'[^.]*?undefined", said)
    lost += re.findall(r"(?:Label|destination) `[^']*' multiply defined", said)
    return lost + re.findall(r"Missing character: There is no .{1,40}", said) + re.findall(r"\n! .*", log)


def missing(folder: Path, name: str) -> list[str]:
    """Numbers of figures and labelled equations that the text layer of a PDF lacks."""
    pdf = subprocess.run(
        ["pdftotext", "-layout", folder / f"{name}.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    source = (folder / f"{name}.tex").read_text(encoding="utf-8")
    pictured = re.findall(r"\\caption\{.*?\}\\label\{\\detokenize\{([^}]*)\}\}", source, re.DOTALL)
    wanted = []
    for kind, label, number in LABEL.findall((folder / f"{name}.aux").read_text(encoding="utf-8")):
        if kind:
            wanted.append(f"({number})")
        elif label in pictured:
            wanted.append(f"Fig. {number}")
    assert wanted, "no figure and no equation has a label"
    return [one for one in wanted if one not in pdf]


@needs_latex
@pytest.mark.slow
def test_a_page_is_printed_with_its_figure_equation_and_tables(tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text(CONF.format(ext=str(REPOSITORY / "book" / "_ext")), encoding="utf-8")
    (tmp_path / "index.md").write_text(INDEX, encoding="utf-8")
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    (tmp_path / "drawn.svg").write_text(SVG, encoding="utf-8")
    out = tmp_path / "out"
    built = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "latex", tmp_path, out]
    subprocess.run(built, check=True, capture_output=True)
    latexmk = ["latexmk", "-xelatex", "-interaction=nonstopmode", "-quiet", "small.tex"]
    subprocess.run(latexmk, cwd=out, check=True, capture_output=True)
    assert not faults((out / "small.log").read_text(encoding="utf-8", errors="replace"))
    assert not missing(out, "small")
    text = subprocess.run(["pdftotext", out / "small.pdf", "-"], capture_output=True, text=True).stdout
    for said in ("inside", "½ ² − … →", "(0.1 … 0.3)", "kept", "interactive in the HTML edition"):
        assert said in text, text
    assert "hidden" not in text and "With scripts on" not in text


@needs_latex
def test_the_built_pdf_has_every_figure_and_equation() -> None:
    folder, name = REPOSITORY / "_build" / "latex", "vggt-collapse-book"
    if not (folder / f"{name}.pdf").is_file():
        pytest.skip("the book is not printed; make pdf")
    assert not faults((folder / f"{name}.log").read_text(encoding="utf-8", errors="replace"))
    assert not missing(folder, name)

r"""The printed edition: what only a browser can show becomes tables, pictures and text for LaTeX.

Cells' HTML becomes docutils nodes (`from_html`), figures that need a script say where they live, vector
graphics become PDF, of two pictures for two themes the light one stays, and wide things are made to fit.
Pages are those that the HTML edition executed; nothing runs again for LaTeX, and nothing here runs for HTML.
"""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import from_html
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.transforms.post_transforms.images import ImageConverter

LIVING = "This figure is interactive in the HTML edition."
ALIVE = re.compile(r"<iframe|<script|class=\"living")
PREAMBLE = r"""
\usepackage{adjustbox}
\setcounter{tocdepth}{1}
\newenvironment{sphinxVerbatimInput}{}{}
\newenvironment{sphinxVerbatimOutput}{}{}
\newenvironment{sphinxclassverdict-box}{\begin{leftbar}}{\end{leftbar}}
\setlength{\emergencystretch}{3em}
\newcolumntype{T}{L}
\fvset{fontsize=\footnotesize}
\setmonofont{DejaVuSansMono}[Extension=.ttf, Scale=0.85, ItalicFont=*-Oblique, BoldFont=*-Bold,
  BoldItalicFont=*-BoldOblique]
\usepackage{newunicodechar}
\newunicodechar{✗}{{\upshape\symbol{"2717}}}
\newunicodechar{ℓ}{\ifmmode\ell\else{\rmfamily\upshape\symbol{"2113}}\fi}
"""
LONG = 30  # rows from which Sphinx breaks a table over pages, and no longer fits its columns
PAGE = {"currentColor": "#222222", "var(--pst-color-background)": "#ffffff"}  # what a page's style sheet says
DOTS = "<style>.outline{fill:none;stroke:#8a8a8a} .front{fill:#222222} .back{fill:#b5b5b5}</style>"


class ForPrint(SphinxPostTransform):
    """Replace what LaTeX cannot show: when each output's form is chosen, before images are converted."""

    default_priority = 100
    formats = ("latex",)

    def run(self, **kwargs: Any) -> None:
        for node in list(self.document.findall(nodes.image)):
            if "only-dark" in node.get("classes", ()):
                node.parent.remove(node)
        for raw in list(self.document.findall(nodes.raw)):
            if raw.get("format") == "html":
                raw.replace_self(self.shown(raw.astext()))

    def shown(self, html: str) -> list[nodes.Node]:
        """What a piece of HTML shows on paper."""
        made = from_html.convert(html, self.picture)
        if ALIVE.search(html):
            made = [node for node in made if not isinstance(node, nodes.paragraph)]
            made.append(nodes.paragraph("", "", nodes.emphasis("", LIVING)))
        return made

    def picture(self, svg: str) -> nodes.Node:
        """An SVG that stood in a page, as a file of its own."""
        if "xmlns=" not in svg:
            svg = svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
        for theirs, ours in PAGE.items():
            svg = svg.replace(theirs, ours)
        if 'class="outline"' in svg:
            svg = re.sub(r"<svg[^>]*>", lambda tag: tag[0] + DOTS, svg, count=1)
        folder = Path(self.app.doctreedir) / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{hashlib.sha256(svg.encode()).hexdigest()}.svg"
        path.write_text(svg, encoding="utf-8")
        self.env.images.add_file(self.env.docname, str(path))
        return nodes.image("", uri=str(path), candidates={"image/svg+xml": str(path)})


class ToPdf(ImageConverter):
    """Vector graphics stay vectors: SVG to PDF by rsvg-convert."""

    conversion_rules = [("image/svg+xml", "application/pdf")]  # noqa: RUF012  (Sphinx's own way)

    def is_available(self) -> bool:
        if shutil.which("rsvg-convert") is None:
            raise ExtensionError("rsvg-convert is not installed: Debian has it in librsvg2-bin")
        return True

    def convert(self, _from: str, _to: str) -> bool:
        subprocess.run(["rsvg-convert", "--format", "pdf", "--output", _to, _from], check=True)
        return True


def for_paper(app: Sphinx, tree: nodes.document, _: str) -> None:
    """When all slots are filled: targets and bold verdicts, and tables in small type whose formulas fit."""
    if app.builder.format != "latex":
        return
    for box in list(tree.findall(nodes.container)):
        box.insert(0, [nodes.target("", "", ids=[name]) for name in box["ids"]])
    for block in [node for node in tree.findall(nodes.Admonition) if "label" in node]:
        if str(block.get("type", "")).startswith("exercise"):  # a solution has its label already
            page = app.env.sphinx_exercise_registry[block["label"]]["docname"]  # type: ignore[attr-defined]
            before(block, rf"\phantomsection\label{{\detokenize{{{page}:{block['label']}}}}}")
    for word in [node for node in tree.findall(nodes.inline) if "verdict" in node["classes"]]:
        after = [nodes.Text(" ·")] if "verdict-summary" in word.parent.get("classes", ()) else []
        word.replace_self([nodes.strong("", "", *word.children), *after])
    for table in list(tree.findall(nodes.table)):
        fit(table)
    for chapter in list(tree.findall(addnodes.start_of_file)):  # numbers of chapters as in the HTML edition
        depth = 2 if app.env.toc_secnumbers.get(chapter["docname"]) else -2
        chapter.insert(0, nodes.raw("", f"\n\\setcounter{{secnumdepth}}{{{depth}}}\n", format="latex"))


def before(node: nodes.Node, tex: str) -> None:
    """Put LaTeX before a node."""
    node.parent.insert(node.parent.index(node), nodes.raw("", f"\n{tex}\n", format="latex"))


def fit(table: nodes.table) -> None:
    """Small type, smaller the more columns; a formula no wider than its column; no links to rows."""
    columns = max((group["cols"] for group in table.findall(nodes.tgroup)), default=1)
    size = r"\small" if columns < 6 else r"\footnotesize" if columns < 9 else r"\scriptsize"
    for link in list(table.findall(nodes.reference)):
        if link.get("refuri", "").startswith("#ledger-"):
            link.replace_self(link.children)
    for formula in list(table.findall(nodes.math_block)):
        aligned = rf"$\displaystyle\begin{{aligned}}{formula.astext()}\end{{aligned}}$"
        shown = rf"\adjustbox{{max width=\linewidth}}{{{aligned}}}"
        formula.replace_self(nodes.paragraph("", "", nodes.raw("", shown, format="latex")))
    if "ledger" in table["classes"]:
        table["classes"] += ["longtable", "colwidths-given"]
    widths = {column["colwidth"] for column in table.findall(nodes.colspec)}
    if len(widths) > 1 and len(list(table.findall(nodes.row))) > LONG:
        table["classes"].append("colwidths-given")
    end = nodes.raw("", "\n\\endgroup\n", format="latex")
    table.parent.insert(table.parent.index(table) + 1, end)
    before(table, rf"\begingroup{size}")


def on_config(app: Sphinx, config: Config) -> None:
    """Paper and type; the class of `sphinx_jupyterbook_latex` wants fonts that few have, and is not used.

    What was read for LaTeX lies apart: it is set to number otherwise, and each edition would read all again.
    """
    if Path(app.outdir).name == "latex":
        app.doctreedir = type(app.doctreedir)(f"{app.doctreedir}-latex")
        config.numfig_secnum_depth = 2  # part and chapter; set later, it would have all read again
    config.latex_theme = "manual"
    config.latex_use_xindy = False  # few have it, and makeindex does
    config.latex_elements = {
        "papersize": "a4paper",
        "pointsize": "10pt",
        "extraclassoptions": "openany,oneside",
        "figure_align": "htbp",
        "fncychap": "",
        "preamble": PREAMBLE + config.latex_elements.get("preamble", ""),
    }


def on_builder(app: Sphinx) -> None:
    """Pictures are converted for LaTeX alone."""
    if app.builder.format == "latex":
        app.add_post_transform(ToPdf)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_post_transform(ForPrint)
    app.connect("config-inited", on_config, priority=950)
    app.connect("builder-inited", on_builder)
    app.connect("doctree-resolved", for_paper, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

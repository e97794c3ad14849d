"""Notebooks in the repository: no outputs, one parameters cell, and unknown parameters refused."""

import json
import re
import subprocess
from pathlib import Path

import nbformat
import pytest
import small_book

from book.study import profile
from lib import records, sweep
from lib.records.code import code_hashes, notebook_source

ROOT = Path(__file__).resolve().parents[1]


def notebooks(root: Path) -> list[Path]:
    """Every .ipynb that git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.ipynb"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if listed.returncode:  # an unpacked archive: no repository to ask
        hidden = {"_build", ".venv", ".ipynb_checkpoints"}
        return [p for p in root.rglob("*.ipynb") if not hidden & set(p.parts)]
    return [root / line for line in listed.stdout.splitlines() if (root / line).is_file()]


def with_outputs(paths: list[Path]) -> list[str]:
    """Names of those that hold an output or an execution count."""
    cells = {p: json.loads(p.read_text(encoding="utf-8"))["cells"] for p in paths}
    return [
        p.name for p, cs in cells.items() if any(c.get("outputs") or c.get("execution_count") for c in cs)
    ]


def test_no_notebook_holds_outputs() -> None:
    assert with_outputs(notebooks(ROOT)) == []


def test_outputs_are_seen(tmp_path: Path) -> None:
    output = {"output_type": "stream", "name": "stdout", "text": "1"}
    cell = {"cell_type": "code", "source": "print(1)", "metadata": {}, "execution_count": None, "outputs": []}
    for name, change in (("clean", {}), ("output", {"outputs": [output]}), ("count", {"execution_count": 1})):
        (tmp_path / f"{name}.ipynb").write_text(json.dumps({"cells": [cell | change]}))
    assert sorted(with_outputs(sorted(tmp_path.glob("*.ipynb")))) == ["count.ipynb", "output.ipynb"]


RUNS = sorted((ROOT / "book" / "runs").glob("*.ipynb"))


@pytest.mark.parametrize("path", RUNS, ids=[p.name for p in RUNS])
def test_an_experiment_declares_and_checks_its_parameters(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    assert "seed" in records.declared(name, ROOT)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    for call in ("records.parameters(", "records.begin(", "records.save("):
        assert call in code, f"{name} never calls {call}…)"


@pytest.mark.slow
@pytest.mark.parametrize("path", RUNS, ids=[p.name for p in RUNS])
def test_an_experiment_draws_only_after_its_record_is_saved(path: Path) -> None:
    """In cells tagged ``figure``: they are not in the key, and neither is what they import."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [("".join(c["source"]), c["metadata"].get("tags", [])) for c in cells if c["cell_type"] == "code"]
    figures = ["figure" in tags for _, tags in code]
    saved = [k for k, (source, _) in enumerate(code) if "records.save(" in source]
    assert len(saved) == 1
    assert not any(figures[: saved[0] + 1])
    drawing = re.compile(r"pyplot|book\.study\.(style|scenes)|\.draw\b")
    assert [
        source
        for (source, _), figure in zip(code, figures, strict=True)
        if drawing.search(source) and not figure
    ] == []
    reached = code_hashes(path.relative_to(ROOT).as_posix(), ROOT)
    assert [name for name in reached if name.endswith(("/style.py", "/draw.py"))] == []


@pytest.mark.parametrize("path", RUNS, ids=[p.name for p in RUNS])
def test_the_key_of_an_experiment_holds_all_that_its_cells_import(path: Path) -> None:
    code = notebook_source(path)
    named = set(re.findall(r"^(?:from|import) ((?:lib|book)[\w.]*)", code, flags=re.MULTILINE))
    named |= {f"lib.{n}" for n in re.findall(r"^from lib import (\w+)", code, flags=re.MULTILINE)}
    reached = set(code_hashes(path.relative_to(ROOT).as_posix(), ROOT))
    for module in named - {"lib", "lib.records"}:
        file = ROOT.joinpath(*module.split("."))
        file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
        assert file.relative_to(ROOT).as_posix() in reached
    assert {"lib/run/__init__.py", "lib/vggt/layers.py", "lib/merging/fastvggt.py"} <= reached
    assert not any(file.startswith("lib/records/") for file in reached)


@pytest.mark.slow
def test_every_declared_run_can_be_planned() -> None:
    jobs = profile.default().jobs()
    by_hand = sweep.plan("book/runs/fusion.ipynb", {"m": 0.5, "seed": [34, 35]})
    assert {job.origin.key for job in by_hand} <= {job.origin.key for job in jobs}
    grids = {file.stem for file in (ROOT / "book" / "runs").glob("*.yml")}
    assert {Path(job.origin.experiment).stem for job in jobs} >= grids
    for job in jobs:
        assert job.origin.params.keys() == records.declared(job.origin.experiment, ROOT).keys()


def test_a_grid_that_no_experiment_takes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fusion.yml").write_text("- notebook: book/runs/fusion.ipynb\n  params: {mm: [0.1]}\n")
    with pytest.raises(ValueError, match="takes no parameter 'mm'"):
        sweep.declared(tmp_path)


@pytest.mark.book
@pytest.mark.slow
def test_an_executed_page_offers_its_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = small_book.make(tmp_path)
    path = ROOT / "book" / "_ext" / "notebooks.py"
    book.write("book/_ext/notebooks.py", path.read_text(encoding="utf-8"))
    book.edit("_config.yml", "    markup: book/_ext\n", "    markup: book/_ext\n    notebooks: book/_ext\n")
    book.write("book/plain.md", "# No cells\n")
    book.write("_toc.yml", small_book.FILES["_toc.yml"] + "- file: book/plain\n- file: book/runs/page\n")
    run = json.loads(small_book.notebook("seed = 0", figure="print(6 * 7)"))
    run["cells"].insert(0, {"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# Run"})
    book.write("book/runs/page.ipynb", json.dumps(run))
    monkeypatch.delenv("BOOK_REPOSITORY", raising=False)
    done = book.build()
    assert done.status == 0, done.output
    sources = book.root / "_build" / "html" / "_sources" / "book"
    read = {p.stem: nbformat.read(p, as_version=4) for p in sources.rglob("*.ipynb")}
    assert sorted(read) == ["chapter", "intro", "page"]
    for notebook in read.values():
        nbformat.validate(notebook)
    assert [cell.outputs[0].text for cell in read["page"].cells if cell.get("outputs")] == ["42\n"]
    assert any(cell.get("outputs") for cell in read["chapter"].cells)
    assert 'href="../_sources/book/chapter.ipynb"' in book.page("chapter")
    assert ".ipynb" not in book.page("plain")
    assert book.page("runs/page").count('href="../../_sources/book/runs/page.ipynb"') == 1
    assert "Binder" not in book.page("chapter") and "Colab" not in book.page("chapter")
    monkeypatch.setenv("BOOK_REPOSITORY", "https://github.com/OWNER/NAME")
    assert book.build().status == 0
    for link in (
        "https://mybinder.org/v2/gh/OWNER/NAME/main?urlpath=lab/tree/book/chapter.md",
        "https://colab.research.google.com/github/OWNER/NAME/blob/main/colab.ipynb",
    ):
        assert link in book.page("chapter")
    monkeypatch.setenv("BOOK_REPOSITORY", "OWNER/NAME")
    refused = book.build()
    assert refused.status != 0 and "expected https://github.com/OWNER/NAME" in refused.output

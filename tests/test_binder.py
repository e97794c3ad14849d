"""What opens the book elsewhere: pins that satisfy it, pages that are notebooks, the one for Colab."""

import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from test_pins import canonical, pins

from lib import records

ROOT = Path(__file__).resolve().parents[1]
BINDER = ROOT / ".binder"
PAGES = sorted((ROOT / "book").glob("*.md"))


def lines() -> list[str]:
    """Requirements without comments."""
    text = (BINDER / "requirements.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def needed(extra: str) -> list[Requirement]:
    """What the project asks for, with one of its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*map(Requirement, project["dependencies"] + project["optional-dependencies"][extra])]


def unpinned(wanted: list[Requirement]) -> list[str]:
    """Of these and all that they need in turn: what has no pin, or one that does not satisfy."""
    wrong, seen, left = [], set(), [*wanted]
    while left:
        asked = left.pop()
        name = canonical(asked.name)
        pin = pins().get(name)
        if pin is None or not asked.specifier.contains(Version(pin), prereleases=True):
            wrong.append(f"{asked}: {pin}")
        if name in seen:
            continue
        seen.add(name)
        for text in metadata.requires(name) or []:
            inner = Requirement(text)
            extras = [*asked.extras, ""]
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras):
                left.append(inner)
    return wrong


def test_binder_installs_the_book_from_the_pins() -> None:
    constraints, project = lines()
    assert (BINDER / constraints.removeprefix("-c ")).resolve() == ROOT / "constraints.txt"
    found = re.fullmatch(r"-e \.\[(\w+)\]", project)
    assert found, project
    wanted = needed(found[1])
    assert "jupytext" in {r.name for r in wanted}, "pages are opened by it"
    assert unpinned(wanted) == []


def test_a_requirement_that_no_pin_satisfies_is_seen() -> None:
    assert unpinned([Requirement("jupytext<1")])[0].startswith("jupytext<1: 1.")


def test_binder_has_a_python_that_the_project_allows() -> None:
    named = (BINDER / "runtime.txt").read_text(encoding="utf-8").strip().removeprefix("python-")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert Requirement(f"python{project['requires-python']}").specifier.contains(named)


@pytest.mark.parametrize("path", PAGES, ids=[p.stem for p in PAGES])
def test_every_page_opens_as_a_notebook(path: Path) -> None:
    notebook = jupytext.read(path, fmt="md:myst")
    nbformat.validate(notebook)
    written = path.read_text(encoding="utf-8")
    assert sum(cell.cell_type == "code" for cell in notebook.cells) == written.count("```{code-cell}")


def rehearsed(monkeypatch: pytest.MonkeyPatch, folder: Path, **given: Any) -> list[tuple[list[str], Path]]:
    """Commands of ``colab.ipynb``, none of which is run, each with its working folder."""
    commands = []

    def run(command: list[Any], cwd: Path = folder, check: bool = False) -> None:
        commands.append(([str(word) for word in command], cwd))
        if "papermill" in command:
            cell = nbformat.v4.new_code_cell("7", outputs=[nbformat.v4.new_output("stream", text="seven")])
            cwd.mkdir(exist_ok=True)
            nbformat.write(nbformat.v4.new_notebook(cells=[cell]), cwd / "out.ipynb")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    for cell in json.loads((ROOT / "colab.ipynb").read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
            names |= given if "parameters" in cell["metadata"].get("tags", []) else {}
    return commands


def test_the_notebook_for_colab_runs_one_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ((command, folder),) = rehearsed(monkeypatch, tmp_path)
    assert folder == tmp_path and command[:3] == [sys.executable, "-m", "papermill"]
    names = [command[place + 1] for place, word in enumerate(command) if word == "-p"]
    experiment = next(word for word in command if word.startswith("book/"))
    assert names and set(names) <= set(records.declared(experiment, ROOT))
    assert capsys.readouterr().out == "seven"


def test_on_colab_it_installs_a_clone_from_the_pins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clone, install, run = rehearsed(monkeypatch, tmp_path, repository="https://github.com/OWNER/NAME")
    root = Path(clone[0][-1])
    assert clone[0][:2] == ["git", "clone"] and "https://github.com/OWNER/NAME" in clone[0]
    assert install[1] == run[1] == root
    assert install[0][-4:] == ["--constraint", "constraints.txt", "--editable", ".[book]"]

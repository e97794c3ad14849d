"""A label that moves to another page is found there by the next build, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lib.records import ROOT

EXTENSIONS = '"myst_parser", "sphinx_exercise"'
HEAD = "# {name}\n\n"
MOVES = (
    "(place)=\n## Here\n\n```{exercise}\n:label: ex-a\n\nWhy?\n```\n\n```{math}\n:label: eq-a\nx = 1\n```\n"
)


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", ".", "_out"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def project(folder: Path, extensions: str) -> Path:
    (folder / "conf.py").write_text(
        f"import sys; sys.path.insert(0, {str(ROOT / 'book/_ext')!r})\nextensions = [{extensions}]\n"
        'myst_enable_extensions = ["dollarmath"]\n'
    )
    links = "{ref}`place`, {eq}`eq-a`, {ref}`ex-a`\n"
    (folder / "index.md").write_text(f"# Book\n\n{links}\n```{{toctree}}\na\nb\n```\n")
    (folder / "a.md").write_text(HEAD.format(name="A"))
    (folder / "b.md").write_text(HEAD.format(name="B") + MOVES)
    return folder


def move(folder: Path, home: str, away: str) -> None:
    (folder / f"{home}.md").write_text(HEAD.format(name=home.upper()) + MOVES)
    (folder / f"{away}.md").write_text(HEAD.format(name=away.upper()))


@pytest.mark.slow
def test_a_label_moves_to_a_page_that_is_read_earlier_and_back(tmp_path: Path) -> None:
    folder = project(tmp_path, f'{EXTENSIONS}, "moved"')
    for home, away in (("b", "a"), ("a", "b"), ("b", "a")):
        move(folder, home, away)
        done = build(folder)
        assert done.returncode == 0, done.stderr
        index = (folder / "_out" / "index.html").read_text()
        for label in ("place", "equation-eq-a", "ex-a"):
            assert f'href="{home}.html#{label}"' in index


@pytest.mark.slow
def test_without_the_extension_it_does_not(tmp_path: Path) -> None:
    folder = project(tmp_path, EXTENSIONS)
    assert build(folder).returncode == 0
    move(folder, "a", "b")
    done = build(folder)
    assert done.returncode and "duplicate label" in done.stderr

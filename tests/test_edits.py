"""What a build repeats after typical edits, counted in a copy of this project; nothing is executed."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import pytest

from lib.records import ROOT

SCRIPT = ROOT / "benchmarks" / "edits.py"


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    """(pages, runs) by edit."""
    root = tmp_path_factory.mktemp("copy")
    for folder in ("lib", "book"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "_toc.yml", root)
    (root / "data").symlink_to(ROOT / "data")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--in", str(root)],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    spec = importlib.util.spec_from_file_location("edits", SCRIPT)
    assert spec is not None and spec.loader is not None
    edits = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(edits)
    return dict(zip([words for words, *_ in edits.EDITS], json.loads(done.stdout), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edit", "pages", "runs"),
    [
        ("font size of all figures", 100, 0),
        ("a legend of one topic", 1, 0),
        ("wording of a claim", 1, 0),
        ("a docstring", 0, 0),
        ("an entry of the bibliography", 0, 0),
    ],
)
def test_an_edit_repeats_no_more_than_this(
    counted: dict[str, list[int]], edit: str, pages: int, runs: int
) -> None:
    assert counted[edit][0] <= pages
    assert counted[edit][1] <= runs


@pytest.mark.slow
def test_what_every_run_computes_with_repeats_every_run(counted: dict[str, list[int]]) -> None:
    """Otherwise the counts above could be small because keys see too little."""
    from book.study import profile

    runs = len(profile.default().jobs())
    assert counted["attention layers"][1] == counted["a merging rule"][1] == runs
    assert counted["attention layers"][0] > 10
    assert counted["font size of all figures"][0] > 10

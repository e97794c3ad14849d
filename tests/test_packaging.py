"""What is imported is what lies here; the wheel is private, whole, and says what cannot be done with it."""

import email
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import book.study
import lib

ROOT = Path(__file__).resolve().parents[1]
BUILD = "from setuptools.build_meta import build_wheel; print(build_wheel('dist'))"


def test_lib_and_study_are_ours() -> None:
    """Another installation of the same name on the path would be tested instead, and pass."""
    assert Path(lib.__file__).resolve().parent == ROOT / "lib"
    assert Path(book.study.__file__).resolve().parent == ROOT / "book" / "study"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without a network, by the pinned setuptools, from a copy: a build leaves files in its source."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-text.md"):
        shutil.copy(ROOT / name, folder)
    for name in ("lib", "book/study"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run([sys.executable, "-c", BUILD], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "dist" / done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_the_wheel_is_whole_and_private(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (described,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = email.message_from_bytes(archive.read(described))
    here = [p for f in ("lib", "book/study") for p in (ROOT / f).rglob("*") if p.is_file()]
    assert names == {p.relative_to(ROOT).as_posix() for p in here if p.suffix != ".pyc"}
    assert "Private :: Do Not Upload" in metadata.get_all("Classifier", [])


@pytest.mark.slow
def test_an_installed_wheel_says_what_it_cannot_do(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "from lib import merging, records, vggt\n"
        "from book.study.paper import printed\n"
        "print(len(printed.TABLE_1))\n"
        "records.load('book/runs/one_run.ipynb')"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stdout == "5\n", done.stderr[-2000:]
    last = done.stderr.splitlines()[-1]
    assert "NoProjectError" in last and str(tmp_path) in last and "pip install --editable ." in last

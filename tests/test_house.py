"""The order of the house: who may import whom, what bears which name, how large it may grow."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import LONGEST

from book.study.how_it_is_built.house import House, HouseError, last, storeys
from lib.records.code import imported, notebook_source

ROOT = Path(__file__).resolve().parents[1]

# Rooms of lib, the highest first: a room imports rooms of lower lines only.
ORDER = (
    ("train", "run", "sweep"),
    ("training", "probe", "costs"),
    ("metrics",),
    ("vggt", "records", "formats"),
    ("scenes", "merging", "spectra", "dynamics"),
    ("allocator", "geometry", "gpu", "pipes", "used"),
)
# Pages that bring topics together, and a tool that serves several: page -> topics beside its own.
COMPARE = {
    "paper_against_measurement": {"fusion", "heatmaps", "runtime"},
    "intro": {"long_sequences"},
    "others": {"long_sequences"},
    "second_round": {"predictions"},
    "practice": {"long_sequences", "others"},
    "budget": {"gpu", "others", "practice"},
}
# Notebooks that bear another name than the topic they serve; None serves no topic.
NOTEBOOKS = {
    **dict.fromkeys(("adaptive", "advice", "alarm"), "practice"),
    **{"duplicates": "predictions", "lengths": "fusion"},
    **{"second_round": "predictions", "thinning": "predictions", "one_run": None},
}
WITHOUT_A_GRID = {"frontier", "holding", "networks", "one_run", "second_round", "thinning"}
SHARED_FOLDERS = {
    "exercises",
    "family",
    "paper",
    "verdicts",
}  # every other folder of book/study serves one topic

LIBRARY_LINES = 11_000  # all but GROWN
# Files for what the library could not do before; counted apart: path in lib -> most lines.
GROWN = {
    # the account and the clock of a chapter, which the measurement on a GPU needs without the book
    **{"costs/measure.py": 190, "costs/operations.py": 90, "costs/stopwatch.py": 135},
    "merging/once.py": 90,  # what all blocks of a pass share, so that a GPU is not kept waiting in each
    "merging/split.py": 120,  # keys thinned, queries merged: Spark3R's way
    "allocator.py": 35,  # freed memory kept: training with fine patches in two thirds of the time
    "gpu.py": 100,  # what a GPU asks for: clocks that do not stop it, key biases, half-precision features
    "formats/__init__.py": 10,  # the door of what other programs read and write
    "formats/clouds.py": 45,  # points as PLY
    "formats/pairing.py": 145,  # poses of two files, by time, name or order
    "formats/reconstruction.py": 145,  # the files that a run leaves: TUM, COLMAP, PLY, npz, a page
    "formats/trajectories.py": 245,  # TUM, KITTI, COLMAP and 4x4 text
    "formats/viewer.py": 95,  # points and cameras to turn in a browser, of one estimate or several
    "metrics/__main__.py": 100,  # the score of anybody's trajectory
    "run/__main__.py": 70,  # the command that writes results
    "run/results.py": 115,  # a run's results in the sizes and names of the pictures
    "records/contents.py": 90,  # hashes of what a reader lists, noted, so that gigabytes plan in seconds
    "records/peaks.py": 30,  # the memory that a run took
    "scenes/consistency.py": 80,  # whether sizes, intrinsics, time stamps and poses belong together
    "scenes/names.py": 80,  # any folder, any working folder, any character in a scene's name
    "scenes/pictures.py": 125,  # photographs as people have them: turned, deep, HEIC, damaged
    "scenes/natural.py": 130,  # textures of the wider world of training
    "scenes/photographic.py": 90,  # its camera, and the hand that holds it
    "scenes/solids.py": 130,  # its spheres and cylinders
    "scenes/wider.py": 340,  # its rooms: one switch for each ingredient
    "sweep/asked.py": 60,  # a sweep that is written down in a file, beside one of axes
    "training/domains.py": 100,  # errors in it, and on photographs
    "training/wider.py": 75,  # runs in it
    "sweep/estimates.py": 130,  # time and memory of a plan, by earlier records
    "sweep/failures.py": 145,  # cell and traceback of a run that failed, kept until it succeeds
    # runs start in moments, from a process that has imported what each of them imports
    **{"sweep/forks.py": 115, "sweep/forkserver.py": 172},
    "sweep/place.py": 250,  # this machine or Slurm: GPUs, cores, memory and time of a run
    "sweep/report.py": 65,  # the plan before, the table after
    "vggt/logit_scale.py": 118,  # the factor on the logits of global attention
    "vggt/foreign.py": 65,  # checkpoints as other trainers leave them: sharded, wrapped, without heads
}
FUNCTION_LINES = 40
LONGER = {"Aggregator.forward"}  # 46: the network in its order; half of it says what the seven arguments are


def studied(page: str, text: str) -> set[str]:
    """Rooms of book/study that a page or a notebook imports, without its own."""
    rooms = set()
    lines = re.findall(r"^(?:from|import) (book\.study\S*)(?: import (.*))?$", text, re.MULTILINE)
    for module, names in lines:
        parts = module.split(".")
        rooms |= {parts[2]} if len(parts) > 2 else {name.split()[0] for name in names.split(",")}
    return rooms - {page}


def broken(house: House) -> list[str]:
    """Every arrow that runs the wrong way, as a sentence."""
    level = {f"lib.{room}": depth for depth, rooms in enumerate(ORDER) for room in rooms}
    topics = {last(topic) for topic in house.topics}
    found = [f"{room} is new: put it into ORDER" for room in house.library if room not in level]
    for path, text in house.sources.items():
        outside = {name.split(".")[0] for name in imported(text, path.rpartition("/")[0].replace("/", "."))}
        wrong = outside & ({"tests", "book"} if path.startswith("lib/") else {"tests"})
        found += [f"{path} imports {name}" for name in sorted(wrong)]
    for room, others in house.arrows.items():
        for other in sorted(others):
            if room in level and other in level and level[other] <= level[room]:
                found.append(f"{room} imports {other}, which does not lie below it")
            if not room.startswith("lib.") and last(other) in topics and other.startswith("book."):
                found.append(f"{room} imports another's topic, {other}")
    pages = {p.stem: p.read_text(encoding="utf-8") for p in sorted((house.root / "book").glob("*.md"))}
    runs = {p.stem: notebook_source(p) for p in sorted((house.root / "book" / "runs").glob("*.ipynb"))}
    for kind, allowed, texts in (("page", COMPARE, pages), ("notebook", NOTEBOOKS, runs)):
        for name, text in texts.items():
            beside = allowed.get(name) or set()
            other = studied(name, text) & topics - ({beside} if isinstance(beside, str) else beside)
            found += [f"{kind} {name} imports the topic {topic}" for topic in sorted(other)]
    return found


@pytest.fixture(scope="module")
def house() -> House:
    return House(ROOT)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources, pages and notebooks of this repository, to break them."""
    book = ("book/study/**/*.py", "book/*.md", "book/profiles/*.yml", "book/runs/*.ipynb", "book/runs/*.yml")
    for pattern in ("lib/**/*.py", *book):
        for path in ROOT.glob(pattern):
            target = tmp_path / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return tmp_path


def test_every_import_points_downwards(house: House) -> None:
    assert broken(house) == []
    storeys(house.arrows)


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("lib/geometry.py", "from book.study import style", "lib/geometry.py imports book"),
        ("lib/spectra/exact.py", "import tests.small_models", "lib/spectra/exact.py imports tests"),
        ("lib/merging/plan.py", "from ..vggt import layers", "lib.merging imports lib.vggt, which does not"),
        ("lib/scenes/walks.py", "import lib.metrics.cameras", "lib.scenes imports lib.metrics, which does"),
        ("lib/attic.py", "", "lib.attic is new: put it into ORDER"),
        ("book/study/fusion/laws.py", "from book.study.rivals import draw", "book.study.fusion imports an"),
        ("book/study/style.py", "import book.study.fusion.laws", "book.study.style imports another's topic"),
        ("book/entropy.md", "from book.study.fusion import laws", "page entropy imports the topic fusion"),
    ],
)
def test_an_import_upwards_or_sideways_is_found(copy: Path, file: str, line: str, message: str) -> None:
    assert broken(House(copy)) == []
    path = copy / file
    path.write_text((path.read_text(encoding="utf-8") if path.exists() else "") + f"\n{line}\n")
    (found,) = broken(House(copy))
    assert found.startswith(message)


def test_a_circle_is_found(copy: Path) -> None:
    with (copy / "lib" / "geometry.py").open("a") as file:
        file.write("\nimport lib.metrics\n")
    with pytest.raises(HouseError, match=r"lib\.geometry, .*lib\.metrics"):
        storeys(House(copy).arrows)


def test_chapter_notebook_grid_and_folder_bear_one_name(house: House) -> None:
    named = {*house.chapters, *house.notebooks}
    folders = {path.parent.name for path in (ROOT / "book" / "study").glob("*/__init__.py")}
    assert folders - SHARED_FOLDERS <= named, "a folder of book/study serves a chapter or a notebook"
    assert not SHARED_FOLDERS & named
    for notebook in house.notebooks:
        assert NOTEBOOKS.get(notebook, notebook) in {None, *folders}, f"{notebook}.ipynb serves no topic"
        assert (ROOT / f"book/runs/{notebook}.yml").is_file() != (notebook in WITHOUT_A_GRID)
    grids = {path.stem for path in (ROOT / "book" / "runs").glob("*.yml")}
    assert grids <= {*house.notebooks}
    assert NOTEBOOKS.keys() <= {*house.notebooks} and COMPARE.keys() <= {*house.chapters}


@pytest.mark.slow
def test_an_experiment_is_a_folder_a_notebook_with_its_grid_and_a_chapter(copy: Path) -> None:
    study, runs = copy / "book" / "study" / "echo", copy / "book" / "runs"
    study.mkdir()
    (study / "__init__.py").write_text("")
    (study / "measure.py").write_text("from book.study import intervals\nfrom lib import dynamics\n")
    asked = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "m = 0.0\nseed = 0"}
    cell = {"cell_type": "code", "metadata": {}, "source": "from book.study.echo import measure"}
    (runs / "echo.ipynb").write_text(json.dumps({"cells": [asked, cell]}))
    (runs / "echo.yml").write_text("- notebook: book/runs/echo.ipynb\n  params: {m: [0.0, 0.5]}\n")
    (copy / "book" / "echo.md").write_text("```{code-cell}\nfrom book.study.echo import measure\n```\n")
    grown = House(copy)
    assert broken(grown) == []
    assert "book.study.echo" in grown.topics
    assert grown.arrows["book.study.echo"] == {"book.study.intervals", "lib.dynamics"}
    for grid in runs.glob("*.yml"):
        if grid.stem != "echo":
            grid.unlink()
    plan = "from book.study.profile import BOOK; jobs = BOOK.jobs()"
    plan += "; print(len(jobs), 'book/study/echo/measure.py' in jobs[0].origin.code)"
    environment = os.environ | {"PYTHONPATH": str(copy)}
    command = [sys.executable, "-c", plan]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout == "2 True\n", done.stderr


def test_every_file_that_is_begun_first_is_there() -> None:
    assert [name for name in LONGEST if not Path(__file__).with_name(name).is_file()] == []


def test_the_library_stays_small_and_functions_fit_on_a_screen(house: House) -> None:
    grown = {name: len((ROOT / "lib" / name).read_text(encoding="utf-8").splitlines()) for name in GROWN}
    assert {name: lines for name, lines in grown.items() if lines > GROWN[name]} == {}
    assert sum(house.size(room).lines for room in house.library) - sum(grown.values()) <= LIBRARY_LINES
    long = {function.name for function in house.functions() if function.lines > FUNCTION_LINES}
    assert long <= LONGER, f"longer than {FUNCTION_LINES} lines: {', '.join(sorted(long - LONGER))}"


def test_no_two_files_of_tests_share_a_name():
    """Without packages pytest imports a file by its name alone, and refuses the second."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted({*names})

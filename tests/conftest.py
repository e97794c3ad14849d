"""Fixtures shared by all tests: where reference numbers and real photographs lie, when they are there."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import shapes

ROOMS = (
    "dynamics",
    "formats",
    "geometry",
    "merging",
    "metrics",
    "probe",
    "scenes",
    "spectra",
    "training",
    "vggt",
)
shapes.check([f"lib.{room}" for room in ROOMS])  # before anything imports lib

ROOT = Path(__file__).resolve().parents[1]
# Begun first, so that no worker is left alone with one at the end: a file is one worker's.
LONGEST = (
    *("test_pages.py", "test_book_guard.py", "test_smoke_book.py", "test_run_it_yourself.py"),
    *("test_reproducible.py", "test_slides.py", "test_profiled_book.py", "test_sweep.py"),
    *("test_notebooks.py", "test_training.py", "test_edits.py", "test_sweep_reports.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; all others, and the tests of a file, in the order in which they stand."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Shapes are not checked, as for a user: what is wrong reaches the messages of our own."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of reference numbers computed with the original VGGT and FastVGGT (``VGGT_GOLDEN`` moves it)."""
    folder = Path(os.environ.get("VGGT_GOLDEN", ROOT.parent / "shared" / "golden"))
    if not (folder / "config.json").is_file():
        pytest.skip(f"no reference numbers at {folder}; set VGGT_GOLDEN to their folder to run parity tests")
    return folder


@pytest.fixture(scope="session")
def golden_config(golden: Path) -> dict:
    """Sizes, keys, cases and tolerances of everything in the golden folder."""
    return json.loads((golden / "config.json").read_text())


@pytest.fixture(scope="session")
def units(golden: Path, golden_config: dict) -> dict:
    """Inputs and outputs of single functions."""
    return _tensors(golden / golden_config["units"]["file"])


@pytest.fixture(scope="session")
def probes(golden: Path, golden_config: dict) -> dict:
    """Weights, inputs and outputs of single modules."""
    return _tensors(golden / golden_config["probes"]["file"])


def _tensors(path: Path) -> dict:
    from safetensors.torch import load_file  # not before a test needs torch

    return load_file(path)


@pytest.fixture(scope="session")
def redkitchen() -> Path:
    """A real 7-Scenes excerpt (non-commercial, never part of this repository)."""
    folder = ROOT.parent / "shared" / "scenes" / "redkitchen"
    if not folder.is_dir():
        pytest.skip(f"no 7-Scenes excerpt at {folder}")
    return folder


def compared() -> list[tuple]:
    """Rows of the table of deviations, so far; none where no test has asked for reference numbers."""
    return [astuple(row) for row in sys.modules["parity"].ROWS] if "parity" in sys.modules else []


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the table of deviations when ``VGGT_PARITY_REPORT`` names a file; a worker hands its rows on."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["compared"] = compared()
    elif compared():
        sys.modules["parity"].write_report()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Rows of a worker that has ended."""
    if rows := getattr(node, "workeroutput", {}).get("compared"):
        import parity

        parity.ROWS.extend(parity.ParityRow(*row) for row in rows)

"""Fixtures shared by all tests: where reference numbers and real photographs lie, when they are there."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from jaxtyping import install_import_hook

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
install_import_hook([f"lib.{room}" for room in ROOMS], "shapes.checked")  # before anything imports lib

import jaxtyping  # noqa: E402
import parity  # noqa: E402
import pytest  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


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


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the table of parity deviations when ``VGGT_PARITY_REPORT`` names a file."""
    parity.write_report()

"""Every installed package is pinned: the next installation gets the same releases."""

import re
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OWN = {"pip", "vggt-collapse-book"}  # pip installs the others; the project is installed from its folder


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    """Version of each package in ``constraints.txt``."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {canonical(name): version for name, version in (line.split("==") for line in lines)}


def test_everything_installed_is_pinned() -> None:
    if not (Path(sys.prefix) / "installed").is_file():
        pytest.skip("this environment was not made by `make`, so its packages are not ours to pin")
    installed = {canonical(d.metadata["Name"]): d.version.split("+")[0] for d in metadata.distributions()}
    assert {n: v for n, v in installed.items() if n not in OWN and pins().get(n) != v} == {}


def test_no_pin_is_of_one_machine() -> None:
    assert [version for version in pins().values() if "+" in version or "/" in version] == []

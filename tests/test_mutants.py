"""Small changes of a source text: which there are, what they leave alone, and that the listed ones exist."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def mutations() -> ModuleType:
    """``benchmarks/mutations.py``, which is no package."""
    spec = importlib.util.spec_from_file_location("mutations", ROOT / "benchmarks" / "mutations.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutations"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


SOURCE = '''"""Text of 1 + 1."""
from typing import Any
SIZE: int = 3
def f(x: Any, deep=True):
    """More text, 2 < 3."""
    assert x is not None
    if x < SIZE and deep:
        raise ValueError(f"{x + 1} is too small")
    x.sort(reverse=True)
    x += 1
    return -x * 2 if deep else g(x, dim=0)
'''
CHANGES = [
    ("3", "4"),
    ("True", "False"),
    ("x < SIZE and deep", "not (x < SIZE and deep)"),
    ("x < SIZE and deep", "x < SIZE or deep"),
    ("x < SIZE", "x <= SIZE"),
    ("x < SIZE", "x >= SIZE"),
    ("raise ValueError(f'{x + 1} is too small')", "pass"),
    ("x.sort(reverse=True)", "pass"),
    ("x.sort(reverse=True)", "x.sort()"),
    ("x += 1", "x -= 1"),
    ("1", "2"),
    ("return -x * 2 if deep else g(x, dim=0)", "return None"),
    ("-x * 2 if deep else g(x, dim=0)", "g(x, dim=0) if deep else -x * 2"),
    ("-x * 2", "-x / 2"),
    ("-x", "x"),
    ("2", "3"),
    ("g(x, dim=0)", "g(x)"),
    ("0", "1"),
]


def test_changes_by_hand(mutations: ModuleType) -> None:
    """Every one of code that runs, and none of a text, an annotation, an assertion or an error's message."""
    found = mutations.mutants(SOURCE, "f.py")
    pairs = [(m.old, m.new) for m in found]
    assert sorted(pairs) == sorted([*CHANGES, ("True", "False")])  # the default, and the argument of sort
    for mutant in found:
        changed = mutant.apply(SOURCE)
        assert mutant.compiles(SOURCE) and changed != SOURCE
        assert changed.split("\n")[mutant.number - 1] != SOURCE.split("\n")[mutant.number - 1]
        assert sum(a != b for a, b in zip(changed.split("\n"), SOURCE.split("\n"), strict=True)) == 1


def test_what_says_the_same_is_no_change(mutations: ModuleType) -> None:
    assert mutations.mutants("def f():\n    return None\n", "f.py") == []


def test_what_runs_a_change(mutations: ModuleType) -> None:
    """A default with the whole function, a condition with its own line alone."""
    spans = {(m.old, m.number): m.span for m in mutations.mutants(SOURCE, "f.py")}
    assert spans["True", 4] == (4, 11) and spans["x < SIZE", 7] == (7, 7) and spans["3", 3] == (3, 3)


def test_letters_of_several_bytes_shift_nothing(mutations: ModuleType) -> None:
    source = "δ = 'αβ' if 1 < 2 else 3\n"
    (change,) = (m for m in mutations.mutants(source, "f.py") if m.new == "1 <= 2")
    assert change.apply(source) == "δ = 'αβ' if (1 <= 2) else 3\n"


def test_the_tests_nearest_to_a_change_come_first(
    mutations: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each test one variant before a second; no more than the time for one change allows."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    judge = importlib.import_module("mutants")
    change = next(m for m in mutations.mutants(SOURCE, "lib/f.py") if m.new == "x <= SIZE")
    monkeypatch.setattr(judge, "inside_functions", lambda file: range(5, 12))
    seconds = {
        "tests/test_g.py::a": 1,
        "tests/test_f.py::b[1]": 3,
        "tests/test_f.py::b[0]": 2,
        "tests/test_f.py::c": 5,
    }
    whole = judge.Covering({test: float(s) for test, s in seconds.items()})
    whole.lines["lib/f.py"][change.span[0]] = {*seconds}
    nearest = ["tests/test_f.py::b[0]", "tests/test_f.py::c", "tests/test_f.py::b[1]", "tests/test_g.py::a"]
    assert whole.tests(change) == nearest
    monkeypatch.setattr(judge, "EACH", 8.0)
    assert whole.tests(change) == nearest[:2]


def test_every_change_listed_as_equivalent_can_be_made(mutations: ModuleType) -> None:
    listed = yaml.safe_load((ROOT / "tests" / "equivalent_mutants.yml").read_text(encoding="utf-8"))
    for entry in listed:
        assert len(entry["reason"]) > 20
        source = (ROOT / entry["file"]).read_text(encoding="utf-8")
        names = {mutant.name for mutant in mutations.mutants(source, entry["file"])}
        assert (entry["file"], entry["line"], entry["change"]) in names, f"no such change: {entry}"

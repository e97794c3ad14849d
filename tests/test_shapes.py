"""Signatures say the shapes of arrays, the tests check them, and docstrings say what else there is to say."""

import ast
import importlib.util
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import jaxtyping
import numpy as np
import pytest
import torch
from shapes import has_shape

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("dynamics", "geometry", "merging", "metrics", "probe", "scenes", "spectra", "training", "vggt")


def modules(rooms: tuple[str, ...] = ROOMS) -> list[Path]:
    """The files of the rooms."""
    files = [(ROOT / "lib" / room).with_suffix(".py") for room in rooms]
    below = [file for room in rooms for file in sorted((ROOT / "lib" / room).rglob("*.py"))]
    return [file for file in files if file.is_file()] + below


def public_functions(module: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Name and function of all that a module defines for others: functions, methods, properties."""
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(thing):
            yield name, thing
        elif inspect.isclass(thing) and not getattr(thing, "_is_protocol", False):
            for own, member in vars(thing).items():
                function = getattr(member, "__func__", getattr(member, "fget", member))
                generated = not hasattr(function, "__wrapped__")  # a dataclass writes its own __init__
                if inspect.isfunction(function) and (own == "__call__" or own[0] != "_") and not generated:
                    yield f"{name}.{own}", function


def bare_arrays(annotation: Any) -> bool:
    """Whether it holds a tensor or NumPy array without a shape; weights by name have every shape."""
    if typing.get_origin(annotation) in (dict, Mapping) and get_args(annotation) == (str, torch.Tensor):
        return False
    if has_shape(annotation) and not get_args(annotation):
        return False
    if annotation in (torch.Tensor, np.ndarray) or typing.get_origin(annotation) is np.ndarray:
        return True
    return any(bare_arrays(part) for part in get_args(annotation) if part is not annotation)


@pytest.mark.parametrize("file", modules(), ids=lambda file: f"{file.parent.name}.{file.stem}")
def test_public_functions_say_the_shapes_of_their_arrays(file):
    module = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    lacking = []
    for name, function in public_functions(module):
        hints = typing.get_type_hints(function, include_extras=True)
        bare = [argument for argument, hint in hints.items() if bare_arrays(hint)]
        if bare:
            lacking.append(f"{name}: {', '.join(bare)}")
    assert not lacking, f"arrays without a shape in {file.name}: {'; '.join(lacking)}"


@pytest.mark.parametrize("file", modules(), ids=lambda file: f"{file.parent.name}.{file.stem}")
def test_docstrings_name_what_is_raised_and_where_it_comes_from(file):
    tree = ast.parse(file.read_text())
    faults = []
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name[0] != "_"]
    for owner in [tree, *classes]:
        for node in owner.body:
            if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                continue
            text = ast.get_docstring(node)
            if text is None:
                faults += [] if is_protocol(owner) else [f"{node.name} has no docstring"]
                continue
            raised = [part for part in ast.walk(node) if isinstance(part, ast.Raise) and raises_value(part)]
            if raised and not re.search(r"^Raises:\n( +\S.*\n?)+", text, re.M):
                faults.append(f"{node.name} raises ValueError but has no Raises section")
            if re.search(r"\bspec \d|Raises \w*Error|[^.] [Dd]erived in chapter", text):
                faults.append(f"{node.name}: write 'Raises:' as a section and 'Source:' as name and number")
    assert not faults, f"{file.name}: {'; '.join(faults)}"


def is_protocol(node: ast.Module | ast.ClassDef) -> bool:
    """Whether a class is a protocol: its methods say nothing of their own."""
    return isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases)


def raises_value(node: ast.Raise) -> bool:
    """Whether a statement raises a ValueError."""
    return isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) == "ValueError"


WRONG = {
    "one weight too few": lambda: dynamics("spread")(torch.ones(4, 3), torch.ones(3) / 3),
    "queries of another width": lambda: dynamics("attend")(*(torch.ones(2, n) for n in (3, 4, 4)), 1.0),
    "values for other tokens": lambda: dynamics("attend")(*(torch.ones(n, 3) for n in (2, 4, 5)), 1.0),
    "whole numbers": lambda: dynamics("mean_length")(torch.ones(4, 3, dtype=torch.long)),
    "one axis too many": lambda: dynamics("mean_length")(torch.ones(2, 4, 3)),
}


def dynamics(name: str) -> Callable[..., Any]:
    """A function of the room, taken when the test runs, so that the checker is over it."""
    return getattr(importlib.import_module("lib.dynamics"), name)


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_wrong_shapes_are_caught(call):
    with pytest.raises(jaxtyping.TypeCheckError):
        call()


@pytest.mark.usefixtures("unchecked")
def test_shapes_are_not_checked_for_users():
    assert dynamics("mean_length")(torch.ones(2, 4, 3)[0]) == pytest.approx(1)
    assert dynamics("mean_length")(torch.ones(1, 4, 3) + torch.eye(4, 3)) >= 0


def test_what_a_command_compiles_in_the_tests_is_not_kept_for_its_users() -> None:
    loaders = {
        name: type(importlib.util.find_spec(name).loader).__name__
        for name in ("lib.metrics.cameras", "lib.metrics.__main__")
    }
    assert loaders == {
        "lib.metrics.cameras": "_JaxtypingLoader",
        "lib.metrics.__main__": "SourceFileLoader",
    }

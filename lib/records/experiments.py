"""What parameters an experiment takes, and whether those it was given are among them."""

import ast
import difflib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib import used
from lib.scenes.names import anchored

INJECTED = "# Parameters\n"  # first line of the cell that papermill puts after the parameters


def declared(experiment: str, root: Path) -> dict[str, Any]:
    """Parameters of a notebook and their defaults: the assignments in the cell tagged ``parameters``.

    Raises:
        FileNotFoundError: no such notebook.
        ValueError: no such cell, or a default that is not a plain literal.
    """
    with used.unwatched():
        cells = json.loads((root / experiment).read_text(encoding="utf-8"))["cells"]
    tagged = [c for c in cells if "parameters" in c.get("metadata", {}).get("tags", [])]
    if len(tagged) != 1:
        raise ValueError(f"{experiment}: {len(tagged)} cells are tagged 'parameters', needed is exactly one")
    defaults: dict[str, Any] = {}
    for node in ast.parse("".join(tagged[0]["source"])).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if not isinstance(target, ast.Name) or not isinstance(node, ast.Assign | ast.AnnAssign):
            raise ValueError(f"{experiment}: the parameters cell may hold only lines `name = literal`")
        try:
            defaults[target.id] = ast.literal_eval(node.value)  # type: ignore[arg-type]
        except ValueError:
            raise ValueError(f"{experiment}: the default of {target.id} is not a plain literal") from None
    return defaults


def complete(experiment: str, given: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """All parameters of a run: those given, checked, and the notebook's defaults for the others.

    A module (``lib.run``) declares no defaults: its parameters are taken as they are.

    Raises:
        ValueError: a parameter that the notebook does not declare, or of another type than its default
            (an int for a float is taken as that float; a default of None takes anything).
    """
    if not experiment.endswith(".ipynb"):
        return _anchored(given, root)
    defaults = declared(experiment, root)
    for name in given:
        if name not in defaults:
            close = difflib.get_close_matches(name, defaults, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"{experiment} takes no parameter {name!r}, only {', '.join(defaults)}{hint}")
    typed = {name: _like(experiment, name, given.get(name, d), d) for name, d in defaults.items()}
    return _anchored(typed, root)


def _anchored(given: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """Paths of scenes and weights in words that mean the same wherever the record is asked for."""
    texts = {name: given[name] for name in ("scene", "model") if isinstance(given.get(name), str)}
    shipped = root / "data" / "weights"
    return dict(given) | {
        name: anchored(text, root)
        for name, text in texts.items()
        if text.strip() and not os.path.isfile(shipped / f"{text}.safetensors")
    }


def _like(experiment: str, name: str, value: Any, default: Any) -> Any:
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if default is not None and type(value) is not type(default):
        wanted, got = type(default).__name__, type(value).__name__
        hint = "; with papermill, -r in place of -p passes text as it is" if isinstance(default, str) else ""
        if isinstance(value, str) and isinstance(default, float):
            hint = "; a number like 1e-3 is text in YAML, write 1.0e-3"
        raise ValueError(f"{experiment}: parameter {name} = {value!r} is a {got}, needed is a {wanted}{hint}")
    return value


def parameters(experiment: str, namespace: Mapping[str, Any], root: Path | None = None) -> dict[str, Any]:
    """Parameters that a notebook runs with; call ``parameters(…, globals())`` in the first cell after them.

    papermill only logs a parameter that the notebook does not know. Here it is an error: IPython keeps the
    cells that ran in ``In``, and papermill's own begins with ``# Parameters``.

    Returns:
        every declared parameter, with the type of its default.
    Raises:
        ValueError: an unknown parameter, or one of another type than its default.
    """
    root = root or Path(__file__).resolve().parents[2]
    injected = [cell for cell in namespace.get("In", []) if cell.startswith(INJECTED)]
    names = {t.id for cell in injected for n in ast.walk(ast.parse(cell)) for t in _assigned(n)}
    names |= declared(experiment, root).keys()
    return complete(experiment, {name: namespace[name] for name in names}, root)


def _assigned(node: ast.AST) -> list[ast.Name]:
    return [t for t in node.targets if isinstance(t, ast.Name)] if isinstance(node, ast.Assign) else []

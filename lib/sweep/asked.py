"""What a command line asks for: a notebook and the axes of a grid, or a file of grids."""

import contextlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import yaml

from lib import records
from lib.sweep.jobs import Job, declared, notebook_path, plan


def asked_for(path: str, axes: Sequence[Sequence[str]]) -> list[Job]:
    """All runs, each once; `path`, from the project's root, is a notebook, or a ``.yml`` as in ``book/runs``.

    Raises:
        ValueError: axes beside a file; an axis as in `given`; and as `lib.sweep.plan`.
        FileNotFoundError: no such file.
    """
    if not path.endswith(".yml"):
        notebook = notebook_path(path)
        return plan(notebook, given(axes, records.experiments.declared(notebook, records.ROOT)))
    if axes:
        raise ValueError(f"{path} says what to run; change a copy of it instead of giving -p {axes[0][0]}")
    if not (file := records.ROOT / path).is_file():
        raise FileNotFoundError(f"no sweep {path}; give a path from the project's root")
    return declared(file)


def given(
    axes: Sequence[Sequence[str]], defaults: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Axes as they stand on the command line: text where the default is text, else read as YAML.

    Raises:
        ValueError: an axis given twice, or a value that is no YAML.
    """
    found: dict[str, list[Any]] = {}
    for name, *values in axes:
        if name in found:
            raise ValueError(f"-p {name} is given twice; give all its values at once")
        try:
            found[name] = [_value(value, defaults.get(name)) for value in values]
        except yaml.YAMLError:
            raise ValueError(f"-p {name}: cannot read {' '.join(values)}") from None
    return found


def _value(text: str, default: Any) -> Any:
    if isinstance(default, str):
        return text
    with contextlib.suppress(ValueError):
        return float(text) if isinstance(default, float) else yaml.safe_load(text)  # to YAML 1e-3 is text
    return yaml.safe_load(text)

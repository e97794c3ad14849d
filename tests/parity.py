"""Compare values with the stored reference numbers, and keep a table of how far each one was off.

Every parity test calls :func:`assert_close_golden`; the table is written as CSV to the path in the
environment variable ``VGGT_PARITY_REPORT`` when the session ends (see ``conftest.py``).
"""

import csv
import os
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class ParityRow:
    """One comparison: largest absolute deviation, and the tolerance where it came closest to failing."""

    file: str
    key: str
    deviation: float
    atol: float
    rtol: float
    used: float  # largest deviation / (atol + rtol |stored|); above 1 is a failure
    passed: bool


ROWS: list[ParityRow] = []


def tolerance(name: str, tolerances: dict) -> tuple[float, float]:
    """(atol, rtol) of a key: the longest prefix of `name` in `tolerances` wins.

    `tolerances` is one section of ``config.json["tolerances"]``, such as ``["small_vggt_io"]``.
    """
    prefixes = [prefix for prefix in tolerances if name.startswith(prefix)]
    if not prefixes:
        raise KeyError(f"no tolerance prefix matches {name!r}; known prefixes: {sorted(tolerances)}")
    entry = tolerances[max(prefixes, key=len)]
    return float(entry["atol"]), float(entry["rtol"])


def assert_close_golden(name: str, value, stored, tolerances: dict, file: str = "") -> None:
    """Assert |value - stored| <= atol + rtol |stored| elementwise (float64) and equal shapes; record a row.

    name: key of the stored tensor, picks the tolerance; value, stored: tensors, arrays or numbers;
    tolerances: the file's section of ``config.json["tolerances"]``; file: label for the report only.
    """
    atol, rtol = tolerance(name, tolerances)
    ours, theirs = _float64(value), _float64(stored)
    assert ours.shape == theirs.shape, f"{name}: shape {ours.shape}, stored {theirs.shape}"
    difference = np.abs(ours - theirs)
    deviation = float(difference.max(initial=0.0))
    used = float((difference / (atol + rtol * np.abs(theirs))).max(initial=0.0))
    passed = bool(used <= 1.0)  # False for NaN
    ROWS.append(ParityRow(file, name, deviation, atol, rtol, used, passed))
    assert passed, f"{name}: largest deviation {deviation:.3g}, allowed {atol:g} + {rtol:g} |stored|"


def write_report(rows: list[ParityRow] | None = None) -> Path | None:
    """Write the recorded rows as CSV to ``VGGT_PARITY_REPORT``; None when the variable is not set."""
    target = os.environ.get("VGGT_PARITY_REPORT")
    rows = ROWS if rows is None else rows
    if not target or not rows:
        return None
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([field.name for field in fields(ParityRow)])
        writer.writerows(astuple(row) for row in rows)
    return path


def _float64(value) -> np.ndarray:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", torch.float64).numpy()
    return np.asarray(value, dtype=np.float64)

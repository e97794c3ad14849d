"""Records of a card, a line each in one file: written at once, found again after a kill, unpacked at home."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from lib import records
from lib.records.record import device_name
from lib.records.store import as_json

NAME = "records.jsonl"


def shelf(device: str) -> Path:
    """Where records of a device are kept: ``data/measurements/cuda-nvidia-h100-80gb-hbm3``."""
    words = re.findall(r"[a-z0-9]+", device_name(device).lower())
    return records.MEASUREMENTS / "-".join(words)


def lines(path: Path) -> list[dict[str, Any]]:
    """The whole records of a file; a line that a kill cut off is none."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


class Ledger:
    """What has been measured on a device: in `folder`, by this or an earlier call, or kept in the repository.

    A record counts whatever code made it, since a card's minutes are dearer than a mended comment; each says
    by what code it was made.
    """

    def __init__(self, folder: Path, device: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self._whole = folder / NAME, lines(folder / NAME)
        kept = [json.loads(path.read_text()) for path in sorted(shelf(device).glob("benchmarks.gpu.*.json"))]
        self._found: dict[str, list[dict[str, Any]]] = {}
        for raw in kept + self._whole:
            self._found.setdefault(raw["experiment"], []).append(raw)

    def found(self, experiment: str) -> list[dict[str, Any]]:
        """Records of an experiment, as they are written."""
        return self._found.get(experiment, [])

    def has(self, experiment: str, params: dict[str, Any]) -> bool:
        """Whether there is a record of these parameters."""
        same = json.loads(json.dumps(params))
        return any(raw["params"] == same for raw in self.found(experiment))

    def write(self, record: records.Record) -> None:
        """Add a record; it is on the disk when this returns."""
        raw = json.loads(json.dumps(as_json(record)))
        broken = self.path.is_file() and not self.path.read_bytes().endswith(b"\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" * broken + json.dumps(raw, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._found.setdefault(raw["experiment"], []).append(raw)


def unpack(path: Path, folder: Path | None = None) -> list[Path]:
    """Each line of a file as a record of its own, where the book looks for it; returns the paths."""
    written = []
    for raw in lines(path):
        words = re.findall(r"[a-z0-9]+", raw["device"].lower())
        target = folder or records.MEASUREMENTS / "-".join(words)
        target.mkdir(parents=True, exist_ok=True)
        inputs = raw["weights"] | raw["data"]
        origin = records.Provenance(raw["experiment"], raw["params"], raw["code"], inputs, raw["versions"])
        written.append(records.path_of(origin, target))
        written[-1].write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    return written

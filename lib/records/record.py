"""One run's measurements, from its beginning to the finished record."""

import hashlib
import math
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lib import used
from lib.records import peaks
from lib.records.fingerprints import ROOT, Provenance, provenance

CPU_THREADS = 1  # sums over several threads round differently; OMP_NUM_THREADS, where set, decides instead
MACHINE_UNITS = {"s", "ms", "1/s", "frames/s", "MiB", "GiB"}  # measure the machine, not the method


class Quantity(NamedTuple):
    """A measured value (number, text, list of them, None for "undefined") with its unit ("1" for none)."""

    value: Any
    unit: str


@dataclass(frozen=True)
class Record:
    """One run's measurements and everything they depended on.

    Attributes:
        provenance: parameters, hashes of code, weights and data, versions.
        measurements: name -> Quantity.
        arrays: name -> array, stored as npz beside the JSON.
        kept: fraction of tokens that entered global attention, or None where nothing could merge.
        device: "cpu …" or "cuda …" with the processor's name.
        started: UTC, ISO 8601.
        seconds: wall-clock time of the run.
        memory, gpu_memory: the most MiB that its process held, and on its GPU; None: was not measured.
    """

    provenance: Provenance
    measurements: dict[str, Quantity]
    device: str
    started: str
    seconds: float
    kept: float | None = None
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    memory: float | None = None
    gpu_memory: float | None = None

    def __getitem__(self, name: str) -> Any:
        """Value of a measurement, or an array."""
        if name in self.arrays:
            return self.arrays[name]
        if name not in self.measurements:
            raise KeyError(f"{name!r}; this record has {', '.join([*self.measurements, *self.arrays])}")
        return self.measurements[name].value

    @property
    def params(self) -> dict[str, Any]:
        """Every parameter of the run."""
        return self.provenance.params

    @property
    def seed(self) -> int | None:
        """The parameter ``seed``, where the experiment has one."""
        return self.params.get("seed")

    def comparable(self) -> dict[str, Any]:
        """What two runs on one CPU must agree on bit by bit: all but times, rates and memory."""
        same = {n: q.value for n, q in self.measurements.items() if q.unit not in MACHINE_UNITS}
        bits = {n: hashlib.sha256(a.tobytes()).hexdigest() for n, a in self.arrays.items()}
        return {"key": self.provenance.key, "measurements": same, "kept": self.kept, "arrays": bits}


@dataclass(frozen=True)
class Run:
    """A run in progress: what it depended on when it began."""

    provenance: Provenance
    device: str
    started: str
    clock: float

    def finish(
        self,
        measurements: Mapping[str, Quantity | tuple[Any, str]],
        kept: float | None = None,
        arrays: Mapping[str, NDArray[Any]] | None = None,
    ) -> Record:
        """Stop the clock and make the record.

        Raises:
            ValueError: a measurement that is not finite (write None and say why), or without a unit.
        """
        checked = {name: _quantity(name, pair) for name, pair in measurements.items()}
        seconds = time.perf_counter() - self.clock
        stored = {name: np.asarray(a) for name, a in (arrays or {}).items()}
        memory = peaks.of_process(), peaks.of_gpu(self.device)
        return Record(self.provenance, checked, self.device, self.started, seconds, kept, stored, *memory)


def _quantity(name: str, pair: Quantity | tuple[Any, str]) -> Quantity:
    value, unit = pair
    if not unit:
        raise ValueError(f"measurement {name!r} has no unit; give '1' for a pure number")
    for number in value if isinstance(value, list | tuple) else [value]:
        if isinstance(number, float) and not math.isfinite(number):
            raise ValueError(
                f"measurement {name!r} = {value!r} is not finite; record None where it is undefined"
            )
    return Quantity(value, unit)


def begin(experiment: str, params: Mapping[str, Any], device: str = "cpu", root: Path = ROOT) -> Run:
    """Start a run: fix now what it depends on, start the clock.

    On a CPU the run keeps to `CPU_THREADS` from here on, whoever starts it and however many cores there are.

    Raises:
        ValueError: a parameter that the notebook does not take.
    """
    if not device.startswith("cuda"):
        import torch  # here, because reading a record needs no torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or CPU_THREADS))
    used.watch(root)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return Run(provenance(experiment, params, root), device_name(device), started, time.perf_counter())


def device_name(device: str) -> str:
    """The device with its processor's name, e.g. ``cuda NVIDIA H100``."""
    if not device.startswith("cuda"):
        return f"{device} {platform.machine()}"
    import torch

    return f"{device} {torch.cuda.get_device_name(device)}"
